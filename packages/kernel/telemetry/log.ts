import { type DestinationStream, type Logger, pino } from 'pino'
import type { Config } from '../config/schema.ts'
import type { ExportOptions } from './exporter.ts'
import { activeTrace } from './tracing.ts'

export type { Logger }

/** Fields that hold secrets, in lower case and without dashes and underscores. */
const SECRET_FIELDS = new Set([
  'authorization',
  'cookie',
  'setcookie',
  'password',
  'passphrase',
  'secret',
  'secrets',
  'clientsecret',
  'token',
  'accesstoken',
  'refreshtoken',
  'apikey',
  'xapikey',
  'privatekey',
  'credentials',
  'connectionstring',
])
const DEEPEST = 6

/** The same fields with the secret ones replaced, at any depth; itself when there are none. pino's own redaction takes 150 µs a line for this list. */
function withoutSecrets(fields: Record<string, unknown>, depth = 0): Record<string, unknown> {
  let shown = fields
  for (const [name, value] of Object.entries(fields)) {
    const kept = isSecretField(name) ? '[secret]' : valueWithoutSecrets(value, depth)
    if (kept === value) continue
    if (shown === fields) shown = { ...fields }
    shown[name] = kept
  }
  return shown
}

function valueWithoutSecrets(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth === DEEPEST) return value
  if (Array.isArray(value)) return value.map((item) => valueWithoutSecrets(item, depth + 1))
  const isPlain = [Object.prototype, null].includes(Object.getPrototypeOf(value))
  return isPlain ? withoutSecrets(value as Record<string, unknown>, depth + 1) : value
}

const secretNames = new Map<string, boolean>()
function isSecretField(name: string): boolean {
  const known = secretNames.get(name)
  if (known !== undefined) return known
  const isSecret = SECRET_FIELDS.has(name.toLowerCase().replace(/[-_]/g, ''))
  // Names come from code, so there are few; what comes from data does not fill the memory.
  if (secretNames.size < 1000) secretNames.set(name, isSecret)
  return isSecret
}

/** Credentials by their look, wherever in a line they stand: API keys, bearer tokens, JWTs, the password in a URL, what a child logger was bound to. */
const CREDENTIALS: readonly [RegExp, string][] = [
  [
    /"((?:x-)?api-?_?key|(?:set-)?cookie|authorization|password|passphrase|(?:client_?|access_?|refresh_?)?(?:secret|token))":"(?:[^"\\]|\\.)+"/gi,
    '"$1":"[secret]"',
  ],
  [/soma_[0-9a-f]{24}_[\w-]{43}/g, 'soma_[secret]'],
  [/\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]*/g, '[token]'],
  [/\b(Bearer|Basic) [\w~+/.=-]{8,}/gi, '$1 [secret]'],
  [/(\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"\\]*):[^\s/@"\\]+@/gi, '$1:[secret]@'],
]

export function withoutCredentials(text: string): string {
  return CREDENTIALS.reduce((line, [pattern, replacement]) => line.replace(pattern, replacement), text)
}

/** 1 is standard output, 2 standard error. */
export type LogDestination = DestinationStream | 1 | 2

/**
 * The log of the process: a line of JSON each, with the ids of the active trace; for people when it goes to a terminal.
 * @param destination where lines go; standard output by default
 * @param exporting a collector that gets them too; the logger's `flush` ends that
 */
export async function createLogger(config: Config['log'], destination: LogDestination = 1, exporting?: ExportOptions): Promise<Logger> {
  const options = {
    level: config.level,
    base: undefined,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }), log: (fields: Record<string, unknown>) => withoutSecrets(fields) },
    serializers: { err: (error: Error) => withoutSecrets({ ...pino.stdSerializers.err(error) }) },
    hooks: { streamWrite: withoutCredentials },
    mixin: () => {
      const active = activeTrace()
      return active ? { trace_id: active.traceId, span_id: active.spanId } : {}
    },
  }
  const stream = typeof destination === 'number' ? await standardStream(destination, config.format) : destination
  if (!exporting?.otlpEndpoint) return pino(options, stream)
  // Loaded only when there is somewhere to send to.
  const { openLogExport, alsoTo } = await import('./log-export.ts')
  const logger: Logger = pino(options, alsoTo(await openLogExport(exporting, (text, fields) => logger.warn(fields, text)), stream))
  return logger
}

async function standardStream(descriptor: 1 | 2, format: Config['log']['format']): Promise<DestinationStream> {
  const { isTTY } = descriptor === 1 ? process.stdout : process.stderr
  const isPretty = format === 'pretty' || (format === 'auto' && isTTY)
  // `sync` keeps the last lines of a process that is killed or exits; a line takes microseconds.
  if (!isPretty) return pino.destination({ dest: descriptor, sync: true })
  const { default: pretty } = await import('pino-pretty')
  return pretty({ destination: descriptor, sync: true, colorize: isTTY, ignore: 'span_id', translateTime: 'SYS:HH:MM:ss.l' })
}
