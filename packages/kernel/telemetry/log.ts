import { type DestinationStream, type Logger, pino } from 'pino'
import type { Config } from '../config/schema.ts'
import { activeTrace } from './tracing.ts'

export type { Logger }

const SECRET_FIELDS = [
  'authorization',
  'cookie',
  'set-cookie',
  'password',
  'passphrase',
  'secret',
  'secrets',
  'token',
  'accessToken',
  'refreshToken',
  'apiKey',
  'api_key',
  'privateKey',
  'credentials',
  'connectionString',
]
const quoted = (field: string) => (/^\w+$/.test(field) ? field : `["${field}"]`)
const below = (parent: string, field: string) => (quoted(field).startsWith('[') ? `${parent}${quoted(field)}` : `${parent}.${field}`)
const REDACTED = SECRET_FIELDS.flatMap((field) => [quoted(field), below('*', field), below('*.*', field)])

/** Credentials by their look, wherever in a line they stand: API keys, bearer tokens, JWTs, the password in a URL. */
const CREDENTIALS: readonly [RegExp, string][] = [
  [/soma_[0-9a-f]{24}_[\w-]{43}/g, 'soma_[secret]'],
  [/\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]*/g, '[token]'],
  [/\b(Bearer|Basic) [\w~+/.=-]{8,}/gi, '$1 [secret]'],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"\\]*):[^\s/@"\\]+@/gi, '$1:[secret]@'],
]

export function withoutCredentials(text: string): string {
  return CREDENTIALS.reduce((line, [pattern, replacement]) => line.replace(pattern, replacement), text)
}

/**
 * The log of the process: a line of JSON each, with the ids of the active trace; for people when standard output is a terminal.
 * @param destination where lines go; standard output by default
 */
export async function createLogger(config: Config['log'], destination?: DestinationStream): Promise<Logger> {
  const options = {
    level: config.level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: REDACTED, censor: '[secret]' },
    hooks: { streamWrite: withoutCredentials },
    mixin: () => {
      const active = activeTrace()
      return active ? { trace_id: active.traceId, span_id: active.spanId } : {}
    },
  }
  return pino(options, destination ?? (await standardOutput(config.format)))
}

async function standardOutput(format: Config['log']['format']): Promise<DestinationStream> {
  const isPretty = format === 'pretty' || (format === 'auto' && process.stdout.isTTY)
  // `sync` keeps the last lines of a process that is killed or exits; a line takes microseconds.
  if (!isPretty) return pino.destination({ dest: 1, sync: true })
  const { default: pretty } = await import('pino-pretty')
  return pretty({ destination: 1, sync: true, colorize: process.stdout.isTTY, ignore: 'span_id', translateTime: 'SYS:HH:MM:ss.l' })
}
