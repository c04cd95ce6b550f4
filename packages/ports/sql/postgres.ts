import { SomaError } from '@soma/contracts/errors'
import pg from 'pg'
import { platformAccess, tenantAccess } from './access.ts'
import { listen } from './listen.ts'
import { migrate } from './migrate.ts'
import { type Patience, withPatience } from './patience.ts'
import type { Sql } from './port.ts'
import { ensureRoles, PLATFORM_ROLE } from './roles.ts'
import { PREPARE_AS_TENANT } from './tenant-query.ts'

export interface PostgresOptions {
  connection: pg.PoolConfig
  /** Connections at the most. Default and upper limit 20. */
  poolSize?: number
  /** Default 15 s for a connection and 30 s for a statement. */
  patience?: Partial<Patience>
}

/**
 * The sql port on any PostgreSQL 14 or newer; the embedded one included.
 * @throws `dependency_unavailable`
 */
export async function openPostgres(options: PostgresOptions): Promise<Sql> {
  const connection = withPatience(options.connection, options.patience)
  await prepareRoles(connection)
  const pool = new pg.Pool({
    ...connection,
    max: Math.min(options.poolSize ?? 20, 20),
    idleTimeoutMillis: 30_000,
    // Waited for before anybody gets the connection, so no statement runs as whoever logged in.
    onConnect: (client) => client.query(`set role ${PLATFORM_ROLE}; ${PREPARE_AS_TENANT}`) as unknown as undefined,
  })
  // An idle connection that the server closed is replaced at the next use; without a listener Node would end the process.
  pool.on('error', () => undefined)
  const platform = platformAccess(pool)
  const listeners = new Set<() => Promise<void>>()

  return {
    tenant: (name) => tenantAccess(pool, name),
    platform,
    migrate: (schema, migrations) => platform.transaction((transaction) => migrate(transaction, schema, migrations)),
    listen: async (channel, handler, onReconnect) => {
      const stop = await listen(connection, channel, handler, onReconnect)
      listeners.add(stop)
      return async () => {
        listeners.delete(stop)
        await stop()
      }
    },
    notify: async (channel, payload) => {
      // A notification is not kept anywhere, so it need not wait for the disk.
      await platform.query("select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", [channel, payload])
    },
    version: async () => (await platform.query('show server_version')).rows[0].server_version as string,
    close: async () => {
      await Promise.all([...listeners].map((stop) => stop()))
      await pool.end()
    },
  }
}

async function prepareRoles(connection: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(connection)
  try {
    await client.connect().catch((cause: Error) => {
      const message = `PostgreSQL does not answer: ${cause.message}. Start it, or correct SOMA_SQL_URL.`
      throw new SomaError('dependency_unavailable', message, {}, { cause })
    })
    await ensureRoles(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}
