import { join } from 'node:path'
import type { Analytics } from '@soma/ports/analytics/port'
import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Cache } from '@soma/ports/cache/port'
import type { Events } from '@soma/ports/events/port'
import type { Journal } from '@soma/ports/journal/port'
import type { Locks } from '@soma/ports/locks/port'
import type { Models } from '@soma/ports/models/port'
import type { Objects } from '@soma/ports/objects/port'
import type { Policy } from '@soma/ports/policy/port'
import type { Redis } from '@soma/ports/redis/redis'
import type { Secrets } from '@soma/ports/secrets/port'
import type { Sql } from '@soma/ports/sql/port'
import type { Vectors } from '@soma/ports/vectors/port'
import type { Workflows } from '@soma/ports/workflows/port'
import type { Config } from '../config/schema.ts'
import { AUDIT_TOPIC, STANDING_TOPICS } from '../ledger/audit-topic.ts'
import type { Logger } from '../telemetry/log.ts'

/** What a driver may stand on: the configuration, the data folder, the database and the journal in it. */
export interface Ground {
  config: Config
  /** The data folder. */
  data: string
  sql: Sql
  journal: Journal
  logger: Pick<Logger, 'error' | 'warn'>
}

/** What stands behind a port, whichever driver was chosen. */
export interface Ports {
  workflows: Workflows
  events: Events
  locks: Locks
  cache: Cache
  broadcast: Broadcast
  objects: Objects
  vectors: Vectors
  analytics: Analytics
  policy: Policy
  secrets: Secrets
  models: Models
}
type Drivers = Config['drivers']
type Openers = { [Port in keyof Ports]: Record<Drivers[Port], (ground: Ground) => Promise<Ports[Port]>> }

/** Every driver of every port. A driver's library is loaded only when it is the one that the configuration names. */
const DRIVERS: Openers = {
  workflows: {
    journal: async ({ sql, journal, logger }) => {
      const { openJournalWorkflows } = await import('@soma/ports/workflows/journal-engine/engine')
      const onTrouble = (error: unknown) => logger.error({ err: error }, 'the workflow engine tries again')
      return openJournalWorkflows({ sql, journal, onTrouble })
    },
    temporal: async ({ sql, journal, config, logger }) => {
      const { openTemporalWorkflows } = await import('@soma/ports/workflows/temporal/engine')
      const onTrouble = (error: unknown) => logger.error({ err: error }, 'the workflow engine tries again')
      return openTemporalWorkflows({ sql, journal, server: config.temporal, onTrouble })
    },
  },
  events: {
    journal: async ({ sql, journal }) =>
      (await import('@soma/ports/events/journal')).openJournalEvents({ sql, journal, views: [AUDIT_TOPIC] }),
    kafka: async ({ config, sql, journal }) => {
      const { openKafkaEvents } = await import('@soma/ports/events/kafka/driver')
      return openKafkaEvents({ sql, journal, settings: config.kafka, views: [AUDIT_TOPIC], standing: STANDING_TOPICS })
    },
  },
  locks: {
    postgres: async ({ sql }) => (await import('@soma/ports/locks/postgres')).openPostgresLocks(sql),
    redis: ({ sql, config }) => onRedis(config, async (redis) => (await import('@soma/ports/locks/redis')).openRedisLocks({ redis, sql })),
  },
  cache: {
    postgres: async ({ sql }) => (await import('@soma/ports/cache/postgres')).openPostgresCache(sql),
    redis: ({ config }) => onRedis(config, async (redis) => (await import('@soma/ports/cache/redis')).openRedisCache(redis)),
  },
  broadcast: {
    postgres: async ({ sql }) => (await import('@soma/ports/broadcast/postgres')).openPostgresBroadcast(sql),
    redis: ({ config }) => onRedis(config, async (redis) => (await import('@soma/ports/broadcast/redis')).openRedisBroadcast(redis)),
  },
  objects: {
    'file-system': async ({ data }) =>
      (await import('@soma/ports/objects/file-system')).openFileSystemObjects({ directory: join(data, 'objects') }),
    s3: async ({ config }) => (await import('@soma/ports/objects/s3')).openS3Objects(config.s3),
  },
  vectors: {
    lancedb: async ({ data }) => (await import('@soma/ports/vectors/lancedb')).openLanceVectors({ directory: join(data, 'vectors') }),
    qdrant: async ({ config }) => (await import('@soma/ports/vectors/qdrant')).openQdrantVectors(config.qdrant),
  },
  analytics: {
    chdb: async ({ data }) => {
      const { openAnalyticsLazily } = await import('@soma/ports/analytics/lazily')
      return openAnalyticsLazily(async () => (await import('@soma/ports/analytics/chdb')).openChdb({ directory: join(data, 'analytics') }))
    },
    clickhouse: async ({ config }) => (await import('@soma/ports/analytics/clickhouse')).openClickHouse(config.clickhouse),
  },
  policy: {
    wasm: async () => (await import('@soma/ports/policy/wasm')).openWasmPolicy(),
    opa: async ({ config }) => (await import('@soma/ports/policy/opa/opa')).openOpaPolicy(config.opa),
  },
  secrets: {
    postgres: async ({ sql, data }) => {
      const [{ openPostgresSecrets }, { loadMasterKey }] = await Promise.all([
        import('@soma/ports/secrets/postgres'),
        import('@soma/ports/secrets/master-key'),
      ])
      return openPostgresSecrets(sql, { masterKey: await loadMasterKey(data) })
    },
    vault: async ({ config, logger }) => {
      const { openVaultSecrets } = await import('@soma/ports/secrets/vault')
      return openVaultSecrets({ ...config.vault, onTrouble: (error) => logger.warn({ err: error }, 'the token for Vault was not renewed') })
    },
  },
  models: {
    none: async () => (await import('@soma/ports/models/none')).openNoModels(),
    openai: async ({ config }) => (await import('@soma/ports/models/openai')).openOpenAiModels(config.models),
  },
}

export type PortName = keyof Ports
/** Every port that a driver can be chosen for. */
export const PORTS = Object.keys(DRIVERS) as PortName[]

/** Opens a port with the driver that the configuration names. */
export function openPort<Port extends PortName>(port: Port, ground: Ground): Promise<Ports[Port]> {
  const openers: Openers[Port] = DRIVERS[port]
  return openers[ground.config.drivers[port]](ground)
}

/** The database: a server that the configuration names, or the embedded one in the data folder. */
export async function openSql(config: Config, data: string): Promise<Sql> {
  const { url, poolSize, connectTimeoutSeconds, statementTimeoutSeconds } = config.sql
  const patience = { connectMilliseconds: connectTimeoutSeconds * 1000, statementMilliseconds: statementTimeoutSeconds * 1000 }
  if (url) {
    const { openPostgres } = await import('@soma/ports/sql/postgres')
    return openPostgres({ connection: { connectionString: url }, poolSize, patience })
  }
  const { openEmbeddedPostgres } = await import('@soma/ports/sql/embedded')
  return openEmbeddedPostgres({ directory: join(data, 'postgres'), poolSize, patience })
}

/** Locks, cache and broadcast of one process share their connections. */
async function onRedis<Port>(config: Config, open: (redis: Redis) => Promise<Port>): Promise<Port> {
  const { shareRedis } = await import('@soma/ports/redis/redis')
  const redis = await shareRedis(config.redis)
  try {
    return await open(redis)
  } catch (error) {
    redis.close()
    throw error
  }
}
