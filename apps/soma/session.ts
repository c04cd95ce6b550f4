import { basename, relative, resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Command } from 'commander'
import type { Connection } from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { openTerminal, type Terminal } from './terminal.ts'

/** What was typed does not hold; the help says what does. */
export class UsageError extends SomaError {
  constructor(message: string, details: Record<string, unknown> = {}) {
    super('invalid_input', message, details)
  }
}

/** One call of the command line. Filled in once the global options are read. */
export interface Session {
  readonly terminal: Terminal
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  /** `--data`, as written. */
  readonly data: string | undefined
  /** Absolute path of the data folder. */
  dataFolder(): Promise<string>
  /** Address of the server. */
  findServer(): Promise<string>
  /** The server and what to show it, found once. */
  connect(): Promise<Connection>
  /** How a command is typed in this place, for people to copy: `npx soma approve 7f…` */
  typed(command: string): string
  /** The code to end with when nothing is thrown. */
  exitCode: ExitCode
}

/** Adds arguments, options and help to a command that `program.mjs` names. */
export type Configure = (command: Command, session: Session) => void

export interface GlobalOptions {
  json?: boolean
  url?: string
  data?: string
}

export function openSession(options: () => GlobalOptions, env: NodeJS.ProcessEnv = process.env, cwd = process.cwd()): Session {
  let terminal: Terminal | undefined
  let connection: Promise<Connection> | undefined
  const session: Session = {
    env,
    cwd,
    exitCode: EXIT.done,
    get terminal() {
      terminal ??= openTerminal(options().json === true, env)
      return terminal
    },
    get data() {
      return options().data
    },
    async dataFolder() {
      const { loadConfig } = await import('@soma/kernel/config/config')
      return (await loadConfig({ cwd, env, overrides: { data: options().data } })).data
    },
    async findServer() {
      const { findServer } = await import('./connection.ts')
      return findServer({ url: options().url ?? (env.SOMA_URL || undefined), dataFolder: await session.dataFolder() })
    },
    connect() {
      connection ??= (async () => {
        const [{ connect }, { openLogins }] = await Promise.all([import('./connection.ts'), import('./logins.ts')])
        return connect({
          url: await session.findServer(),
          apiKey: env.SOMA_API_KEY || undefined,
          dataFolder: await session.dataFolder(),
          logins: openLogins(env),
        })
      })()
      return connection
    },
    typed(command) {
      const { url } = options()
      const data = options().data ?? env.SOMA_DATA
      const where = [...(url ? ['--url', url] : []), ...(data && !url ? ['--data', shellWord(data)] : [])]
      const name = env.npm_execpath || basename(process.argv[1] ?? '') === 'soma.mjs' ? 'npx soma' : 'soma'
      return [name, command, ...where].join(' ')
    },
  }
  return session
}

/** A word as a shell reads it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}

/** A path as it is typed from here: relative when that is shorter. */
export function shownPath(path: string, cwd: string): string {
  const near = relative(cwd, resolve(cwd, path))
  return near !== '' && near.length < path.length && !near.startsWith('..') ? near : path
}
