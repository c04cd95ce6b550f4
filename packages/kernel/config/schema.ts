import { BudgetAmount } from '@soma/contracts/budget'
import { z } from 'zod'

const secret = (description: string) => z.string().min(1).describe(description).meta({ secret: true })
const url = (description: string) => z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).describe(description)

const Http = z.strictObject({
  host: z
    .string()
    .min(1)
    .default('127.0.0.1')
    .describe('Address to listen on. The default is reached from this machine only; 0.0.0.0 from everywhere.'),
  port: z.number().int().min(0).max(65_535).default(8000).describe('Port to listen on; 0 takes any free one.'),
  publicUrl: url('URL under which clients reach the platform, when a proxy stands before it.').optional(),
  trustProxy: z.boolean().default(false).describe('Believe X-Forwarded-* headers. Only behind a proxy that sets them itself.'),
  bodyLimitBytes: z.number().int().min(1024).default(1_048_576).describe('Largest request body.'),
  requestTimeoutSeconds: z.number().min(1).default(60).describe('A client must have sent its whole request by then.'),
  maxEventLoopDelayMilliseconds: z
    .number()
    .int()
    .min(0)
    .default(2000)
    .describe('Above this delay new requests get "overloaded", so that those under way finish. 0 switches it off.'),
})

const RateLimit = z.strictObject({
  perMinute: z.number().int().min(1).default(6000).describe('Requests a minute of one principal.'),
  unauthenticatedPerMinute: z.number().int().min(1).default(300).describe('Requests a minute of one address that shows no credentials.'),
})

/** Every driver that exists today. A driver that is not named here can not be asked for. */
const Drivers = z.strictObject({
  workflows: z.enum(['journal']).default('journal').describe('Engine that runs workflows.'),
  events: z.enum(['journal']).default('journal').describe('Where events are published and read.'),
  locks: z.enum(['postgres']).default('postgres').describe('Leases with fencing tokens.'),
  cache: z.enum(['postgres']).default('postgres').describe('Cache; may forget at any time.'),
  broadcast: z.enum(['postgres']).default('postgres').describe('Messages to every process at once.'),
  objects: z.enum(['file-system']).default('file-system').describe('Content-addressed storage.'),
  vectors: z.enum(['lancedb']).default('lancedb').describe('Vector and full-text search.'),
  analytics: z.enum(['chdb']).default('chdb').describe('Columns for figures.'),
  policy: z.enum(['wasm']).default('wasm').describe('Decision point.'),
  secrets: z.enum(['postgres']).default('postgres').describe('Secrets of tenants, encrypted.'),
})

/** Every setting of the platform. The reference page is generated from this schema. */
export const Config = z.strictObject({
  data: z.string().min(1).default('./.soma').describe('Folder that holds everything the platform keeps on this machine.'),
  services: z.array(z.string().min(1)).default([]).describe('Services that this process runs; empty runs all of them.'),
  peerUrl: url('Where the services that this process does not run are reached: another process, or a proxy before several.').optional(),
  http: Http.prefault({}),
  rateLimit: RateLimit.prefault({}),
  sql: z
    .strictObject({
      url: secret('postgres://… of a PostgreSQL 14 or newer. Without it the embedded PostgreSQL runs in the data folder.')
        .regex(/^postgres(ql)?:\/\//, 'must begin with postgres:// or postgresql://')
        .optional(),
      poolSize: z.number().int().min(1).max(20).default(20).describe('Connections of one process at the most.'),
    })
    .prefault({}),
  drivers: Drivers.prefault({}),
  auth: z
    .strictObject({
      issuer: z.string().min(1).default('soma').describe('Issuer (iss) of the tokens that are accepted.'),
      audience: z.string().min(1).default('soma').describe('Audience (aud) a token must name.'),
      jwksUrl: url('Where the keys of another issuer are published. Without it the platform signs its own tokens.').optional(),
      tokenTtlSeconds: z.number().int().min(60).max(86_400).default(3600).describe('How long a token of the platform is valid.'),
    })
    .prefault({}),
  capsules: z
    .strictObject({
      trustedKeys: z
        .array(z.string().min(1))
        .default([])
        .describe('Public keys (PEM) whose signatures of capsules are trusted, besides the platform’s own.'),
    })
    .prefault({}),
  budgets: z
    .strictObject({
      tenant: BudgetAmount.default({}).describe('Limit of a tenant that has none of its own, a month. A missing amount is not limited.'),
      project: BudgetAmount.default({}).describe('Limit of a project whose plan has none of its own.'),
    })
    .prefault({}),
  egress: z
    .strictObject({
      allow: z
        .array(z.string().min(1))
        .default([])
        .describe('Private hosts, addresses or networks (CIDR) that tools may reach all the same. Public addresses need no entry.'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .default('info')
        .describe('Least level that is written.'),
      format: z.enum(['auto', 'json', 'pretty']).default('auto').describe('auto: pretty on a terminal, JSON elsewhere.'),
    })
    .prefault({}),
  telemetry: z
    .strictObject({
      otlpEndpoint: url('OpenTelemetry collector (OTLP over HTTP) that gets the traces, e.g. http://localhost:4318.').optional(),
      otlpHeaders: z.record(z.string(), z.string()).default({}).describe('Headers for the collector.').meta({ secret: true }),
      recentSpans: z.number().int().min(0).max(100_000).default(5000).describe('Spans kept in memory for the console.'),
    })
    .prefault({}),
  lifecycle: z
    .strictObject({
      stopDeadlineSeconds: z.number().min(1).max(600).default(20).describe('How long a stop waits for what is under way.'),
    })
    .prefault({}),
})
export type Config = z.output<typeof Config>
/** What a configuration file may hold: everything is optional. */
export type ConfigInput = z.input<typeof Config>

/** Short names for what is set most. They mean the same as the long ones (`SOMA_HTTP__PORT`). */
export const SHORT_VARIABLES: Readonly<Record<string, string>> = {
  SOMA_HOST: 'http.host',
  SOMA_PORT: 'http.port',
  SOMA_OTLP_ENDPOINT: 'telemetry.otlpEndpoint',
}

/** Variables that the command line, a driver or a tool reads by itself, so the server knows them and leaves them alone. */
export const VARIABLES_READ_ELSEWHERE: Readonly<Record<string, string>> = {
  SOMA_URL: 'Server that the command line talks to; without it the one that runs on the data folder.',
  SOMA_API_KEY: 'API key that the command line shows.',
  SOMA_CONFIG: 'Configuration file, instead of soma.config.ts, .mjs or .json in the current folder.',
  SOMA_MASTER_KEY: 'Key that all secrets stand under, 32 bytes as base64, instead of the file master.key of the data folder. Secret.',
  SOMA_OPA: 'OPA that compiles the policies when they are built, instead of the one on the PATH.',
  SOMA_BROWSER: 'Browser that the playwright tool runs, instead of the first one on the PATH.',
}
