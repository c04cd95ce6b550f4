import { BudgetAmount } from '@soma/contracts/budget'
import { z } from 'zod'
import { Auth } from './auth-schema.ts'
import { secret, url } from './fields.ts'

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

const Drivers = z.strictObject({
  workflows: z.enum(['journal', 'temporal']).default('journal').describe('Engine that runs workflows.'),
  events: z.enum(['journal', 'kafka']).default('journal').describe('Where events are published and read.'),
  locks: z.enum(['postgres', 'redis']).default('postgres').describe('Leases with fencing tokens.'),
  cache: z.enum(['postgres', 'redis']).default('postgres').describe('Cache; may forget at any time.'),
  broadcast: z.enum(['postgres', 'redis']).default('postgres').describe('Messages to every process at once.'),
  objects: z.enum(['file-system', 's3']).default('file-system').describe('Content-addressed storage.'),
  vectors: z.enum(['lancedb', 'qdrant']).default('lancedb').describe('Vector and full-text search.'),
  analytics: z.enum(['chdb', 'clickhouse']).default('chdb').describe('Columns for figures.'),
  policy: z.enum(['wasm', 'opa']).default('wasm').describe('Decision point.'),
  secrets: z.enum(['postgres', 'vault']).default('postgres').describe('Secrets of tenants, encrypted.'),
  models: z.enum(['none', 'openai']).default('none').describe('Chat and embeddings: none, or any server that speaks the OpenAI API.'),
})

/** What a profile chooses where nothing else is said. */
export const PROFILES = {
  embedded: {},
  stack: {
    workflows: 'temporal',
    events: 'kafka',
    locks: 'redis',
    cache: 'redis',
    broadcast: 'redis',
    objects: 's3',
    vectors: 'qdrant',
    analytics: 'clickhouse',
    policy: 'opa',
    secrets: 'vault',
    models: 'openai',
  },
} as const satisfies Record<string, z.input<typeof Drivers>>

/** Where the real servers are, for the drivers that need them. */
const servers = {
  redis: z
    .strictObject({
      url: secret('redis:// or rediss:// of one server.')
        .regex(/^rediss?:\/\//, 'must begin with redis:// or rediss://')
        .optional(),
      sentinels: z.array(z.string().min(1)).default([]).describe('host:port of each Sentinel, instead of the URL of one server.'),
      sentinelName: z.string().min(1).default('soma').describe('Name under which the Sentinels know the primary.'),
      username: z.string().min(1).optional().describe('User of the servers behind the Sentinels.'),
      password: secret('Password of the servers behind the Sentinels.').optional(),
      sentinelPassword: secret('Password of the Sentinels themselves.').optional(),
      prefix: z
        .string()
        .regex(/^[\w.-]+$/, 'may hold letters, digits, _, . and -')
        .default('soma')
        .describe('Stands before every key and channel. Platforms that share a server need one each.'),
    })
    .prefault({}),
  kafka: z
    .strictObject({
      brokers: z.array(z.string().min(1)).default([]).describe('host:port of brokers to begin with.'),
      username: z.string().min(1).optional().describe('SASL user.'),
      password: secret('SASL password.').optional(),
      saslMechanism: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).default('SCRAM-SHA-512').describe('How the user is proven.'),
      tls: z.boolean().default(false).describe('Encrypt the connections.'),
      partitions: z.number().int().min(1).max(1000).default(6).describe('Partitions of a topic that the platform makes.'),
      replicas: z.number().int().min(1).max(15).default(1).describe('Copies of a topic that the platform makes; 3 on a cluster.'),
    })
    .prefault({}),
  temporal: z
    .strictObject({
      address: z.string().min(1).optional().describe('host:port of the frontend.'),
      namespace: z.string().min(1).default('default').describe('Namespace that the workflows run in.'),
      taskQueue: z.string().min(1).default('soma').describe('Task queue of the workers.'),
      apiKey: secret('API key, for servers that ask for one.').optional(),
      tls: z.boolean().default(false).describe('Encrypt the connection.'),
    })
    .prefault({}),
  opa: z
    .strictObject({
      url: url('Open Policy Agent that loads its bundle from the policy-engine.').optional(),
      token: secret('Bearer token that it asks for.').optional(),
      bundleHost: z.string().min(1).default('127.0.0.1').describe('Address on which the policy-engine serves the bundle to it.'),
      bundlePort: z.number().int().min(0).max(65_535).default(8001).describe('Port for that.'),
      bundleToken: secret('Bearer token that it shows there.').optional(),
      signingKey: secret('Private ECDSA key on P-256 (PEM) that signs the bundle; it knows the public one.').optional(),
    })
    .prefault({}),
  s3: z
    .strictObject({
      endpoint: url('MinIO or another server that speaks S3. Without it, AWS.').optional(),
      region: z.string().min(1).default('us-east-1').describe('Region of the bucket.'),
      bucket: z.string().min(3).default('soma').describe('Bucket of all objects; made when missing.'),
      accessKeyId: z.string().min(1).optional().describe('Access key. Without it, what the AWS SDK finds.'),
      secretAccessKey: secret('Its secret.').optional(),
    })
    .prefault({}),
  clickhouse: z
    .strictObject({
      url: url('ClickHouse over HTTP, e.g. http://localhost:8123.').optional(),
      username: z.string().min(1).default('default').describe('User.'),
      password: secret('Password.').optional(),
      database: z.string().min(1).default('default').describe('Database of the figures.'),
    })
    .prefault({}),
  qdrant: z
    .strictObject({
      url: url('Qdrant over REST, e.g. http://localhost:6333.').optional(),
      apiKey: secret('API key.').optional(),
      prefix: z
        .string()
        .regex(/^[a-z][a-z0-9_-]{0,62}$/, 'must be up to 63 lower-case letters, digits, "-" or "_", beginning with a letter')
        .default('soma')
        .describe('First part of the names of all collections, so that several platforms can share a server.'),
    })
    .prefault({}),
  vault: z
    .strictObject({
      url: url('Vault or OpenBao.').optional(),
      token: secret('Token that may read and write below the mount.').optional(),
      mount: z.string().min(1).default('secret').describe('Mount of the key-value engine, version 2.'),
    })
    .prefault({}),
  models: z
    .strictObject({
      url: url('Base URL of an OpenAI-compatible server, up to and with /v1.').optional(),
      apiKey: secret('API key.').optional(),
      chatModel: z.string().min(1).optional().describe('Model for chat; without it the first that the server lists.'),
      embeddingModel: z.string().min(1).optional().describe('Model for embeddings; without it the first that the server lists.'),
    })
    .prefault({}),
}

/** Every setting of the platform. The reference page is generated from this schema. */
export const Config = z.strictObject({
  profile: z
    .enum(Object.keys(PROFILES) as [keyof typeof PROFILES, ...(keyof typeof PROFILES)[]])
    .default('embedded')
    .describe('embedded: everything on this machine, by npm alone. stack: the real servers, where `npm run stack` or you put them.'),
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
      connectTimeoutSeconds: z
        .number()
        .min(1)
        .max(600)
        .default(15)
        .describe('Longest wait for a connection, or for one of the pool that is free again; then the request is refused.'),
      statementTimeoutSeconds: z
        .number()
        .min(1)
        .max(3600)
        .default(30)
        .describe('Longest wait for one statement; then it is ended and the request is refused. Migrations take the time they need.'),
    })
    .prefault({}),
  drivers: Drivers.prefault({}),
  ...servers,
  auth: Auth.prefault({}),
  capsules: z
    .strictObject({
      trustedKeys: z
        .array(z.string().min(1))
        .default([])
        .describe('Public keys (PEM) whose signatures of capsules are trusted, besides the platform’s own.'),
    })
    .prefault({}),
  constitution: z
    .strictObject({
      reviewers: z
        .enum(['auto', 'two'])
        .default('auto')
        .describe(
          'Who must put rules in force. auto: another person than who proposed them, unless nobody else of the tenant could. two: always another.',
        ),
    })
    .prefault({}),
  budgets: z
    .strictObject({
      tenant: BudgetAmount.default({}).describe('Limit of a tenant that has none of its own, a month. A missing amount is not limited.'),
      project: BudgetAmount.default({}).describe('Limit of a project whose plan has none of its own.'),
    })
    .prefault({}),
  approvals: z
    .strictObject({
      expireAfterHours: z
        .number()
        .positive()
        .max(10_000)
        .default(168)
        .describe('How long the answer to an approval is waited for when no rule says. Once given, it must be used within as long again.'),
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
      otlpEndpoint: url('OpenTelemetry collector (OTLP over HTTP) that gets traces and the log, e.g. http://localhost:4318.').optional(),
      otlpHeaders: z.record(z.string(), z.string()).default({}).describe('Headers for the collector.').meta({ secret: true }),
      recentSpans: z.number().int().min(0).max(100_000).default(5000).describe('Spans kept in memory for the console.'),
    })
    .prefault({}),
  lifecycle: z
    .strictObject({
      stopDeadlineSeconds: z.number().min(1).max(600).default(20).describe('How long a stop waits for what is under way.'),
      leastFreeMegabytes: z
        .number()
        .min(0)
        .default(100)
        .describe('With less space than this where the data folder is, /ready says that it is not well.'),
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
  SOMA_STACK: 'Folder of the stack, with data, logs and stack.env, instead of .stack in the current folder.',
  SOMA_STACK_CACHE: 'Where the stack keeps what it installed, instead of ~/.cache/soma-stack.',
  SOMA_STACK_ONLY: 'Servers that the tests on the stack start, with commas; empty: all.',
  SOMA_STACK_ENV: 'File with the addresses of the real servers for the profile stack, instead of .stack/stack.env in the current folder.',
  SOMA_MASTER_KEY: 'Key that all secrets stand under, 32 bytes as base64, instead of the file master.key of the data folder. Secret.',
  SOMA_OPA: 'OPA that compiles the policies when they are built, instead of the one on the PATH.',
  SOMA_BROWSER: 'Browser that the playwright tool runs, instead of the first one on the PATH.',
}
