import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { loadConfig } from '@soma/kernel/config/config'
import type { Config, ConfigInput } from '@soma/kernel/config/schema'
import { openPlatform, type Platform } from '@soma/kernel/platform/open-platform'
import { createLogger, type LogDestination } from '@soma/kernel/telemetry/log'
import { readVersion } from './program.mjs'
import { type Session, shownPath, UsageError } from './session.ts'

export interface StartOptions {
  profile?: Config['profile']
  services?: string[]
  port?: number
  host?: string
}

export function collectServices(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)
}

/** Settings of a server that the command line starts. */
export async function serverConfig({ cwd, env, data }: Pick<Session, 'cwd' | 'env' | 'data'>, options: StartOptions): Promise<Config> {
  if (options.port !== undefined && !(Number.isInteger(options.port) && options.port >= 0 && options.port <= 65_535))
    throw new UsageError('--port must be a number from 0 to 65535.')
  const overrides: ConfigInput = {
    profile: options.profile,
    data,
    services: options.services,
    http: { port: options.port, host: options.host },
  }
  return loadConfig({ cwd, env, overrides })
}

/** Starts the platform in this process, with everything that comes with it. */
export async function openWholePlatform(config: Config, logTo: LogDestination): Promise<Platform> {
  const version = readVersion()
  const [{ SERVICES }, { ADAPTERS }, logger] = await Promise.all([
    import('./services.ts'),
    import('./adapters.ts'),
    createLogger(config.log, logTo, { ...config.telemetry, version, services: config.services }),
  ])
  return openPlatform({ config, services: SERVICES, adapters: ADAPTERS, logger, version })
}

/** `soma start`: says where the server is, then serves until a signal. The log goes to standard error. */
export async function startServer(session: Session, options: StartOptions): Promise<void> {
  const config = await serverConfig(session, options)
  const platform = await openWholePlatform(config, 2).catch((cause: unknown) => {
    throw explainStart(cause, config.data)
  })
  platform.lifecycle.handleSignals()
  const keyFile = join(platform.dataDirectory, 'admin.key')
  const adminKey = existsSync(keyFile) ? keyFile : undefined
  const { paint } = session.terminal
  session.terminal.answer(
    { url: platform.url, docs: `${platform.url}/docs`, data: platform.dataDirectory, ...(adminKey ? { adminKey } : {}), pid: process.pid },
    [
      `SomaAgent listens on ${paint.bold(platform.url)}  (API: ${platform.url}/docs)`,
      `Data                 ${shownPath(platform.dataDirectory, session.cwd)}`,
      ...(adminKey ? [`Administrator's key  in ${shownPath(adminKey, session.cwd)}; the command line finds it by itself`] : []),
      `Stop                 Ctrl-C or SIGTERM; what runs goes on at the next start`,
    ].join('\n'),
  )
  await new Promise(() => undefined)
}

/** What nobody foresaw still gets a sentence: what was being started, and where to look. */
export function explainStart(cause: unknown, dataFolder: string): unknown {
  if (SomaError.is(cause)) return cause
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === 'ENOSPC')
    return new SomaError('disk_full', `The disk that holds ${dataFolder} is full. Free some space and start again.`, {}, { cause })
  return new SomaError(
    'internal',
    `The server could not start on ${dataFolder}: ${message.split('\n')[0]}. The log above says more; "soma doctor" looks at what it needs.`,
    { data: dataFolder },
    { cause },
  )
}

/** True when nobody listens there. */
export function isPortFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host, port }, () => probe.close(() => resolve(true)))
  })
}
