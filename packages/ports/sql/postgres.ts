import { SomaError } from '@soma/contracts/errors'
import pg from 'pg'
import type { Migration, Sql, Statements } from './port.ts'

/** The role that tenants' transactions run as. It can't log in, owns nothing and can't bypass row-level security. */
const TENANT_ROLE = 'soma_tenant'
const MIGRATION_LOCK = 7_301_001

export interface PostgresOptions {
  connection: pg.PoolConfig
  /** Connections at the most. Default and upper limit 20. */
  poolSize?: number
}

/** The sql port on any PostgreSQL 14 or newer; the embedded one included. */
export async function openPostgres(options: PostgresOptions): Promise<Sql> {
  const pool = new pg.Pool({ ...options.connection, max: Math.min(options.poolSize ?? 20, 20), idleTimeoutMillis: 30_000 })
  // An idle connection that the server closed is replaced at the next use; without a listener Node would end the process.
  pool.on('error', () => undefined)
  await ensureTenantRole(pool)
  const listeners = new Set<() => Promise<void>>()

  return {
    pool,
    tenant: (tenant, work) =>
      inTransaction(pool, async (client) => {
        await client.query("select set_config('soma.tenant', $1, true), set_config('role', $2, true)", [tenant, TENANT_ROLE])
        return work(client)
      }),
    transaction: (work) => inTransaction(pool, work),
    migrate: (schema, migrations) => migrate(pool, schema, migrations),
    listen: async (channel, handler, onReconnect) => {
      const stop = await listen(options.connection, channel, handler, onReconnect)
      listeners.add(stop)
      return async () => {
        listeners.delete(stop)
        await stop()
      }
    },
    notify: async (channel, payload) => {
      // A notification is not kept anywhere, so it need not wait for the disk.
      await pool.query("select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)", [channel, payload])
    },
    version: async () => (await pool.query('show server_version')).rows[0].server_version as string,
    close: async () => {
      await Promise.all([...listeners].map((stop) => stop()))
      await pool.end()
    },
  }
}

async function ensureTenantRole(pool: pg.Pool): Promise<void> {
  try {
    await pool.query(`do $$ begin
      if not exists (select from pg_roles where rolname = '${TENANT_ROLE}') then create role ${TENANT_ROLE} nologin nosuperuser nobypassrls; end if;
    exception when duplicate_object or unique_violation then null; end $$`)
    await pool.query(`grant ${TENANT_ROLE} to current_user`)
  } catch (cause) {
    if (/already a member|concurrently updated/.test(String(cause))) return
    throw new SomaError(
      'dependency_unavailable',
      `PostgreSQL does not answer or lets no role be made: ${(cause as Error).message}`,
      {},
      { cause },
    )
  }
}

async function inTransaction<Result>(pool: pg.Pool, work: (client: Statements) => Promise<Result>): Promise<Result> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query('begin')
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch((broken: Error) => {
      failure = broken
    })
    throw error
  } finally {
    // A connection that can't even roll back is not given to anybody else.
    client.release(failure)
  }
}

function migrate(pool: pg.Pool, schema: string, migrations: readonly Migration[]): Promise<void> {
  const name = pg.escapeIdentifier(schema)
  return inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
    await client.query(`create schema if not exists ${name}`)
    await client.query(`create table if not exists ${name}.migrations (name text primary key, at timestamptz not null default now())`)
    const done = new Set((await client.query(`select name from ${name}.migrations`)).rows.map((row) => row.name as string))
    const missing = migrations.filter((migration) => !done.has(migration.name))
    for (const migration of missing) {
      await client.query(`set local search_path to ${name}, public`)
      await client.query(migration.up)
      await client.query(`insert into ${name}.migrations (name) values ($1)`, [migration.name])
    }
    if (missing.length > 0) await confineTables(client, schema)
  })
}

/** Row-level security on every table that has a `tenant` column; tables without one are not granted to tenants at all. */
async function confineTables(client: Statements, schema: string): Promise<void> {
  const { rows } = await client.query(
    `select c.table_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
     where c.table_schema = $1 and c.column_name = 'tenant' and t.table_type = 'BASE TABLE'`,
    [schema],
  )
  const name = pg.escapeIdentifier(schema)
  await client.query(`grant usage on schema ${name} to ${TENANT_ROLE}`)
  await client.query(`grant usage on all sequences in schema ${name} to ${TENANT_ROLE}`)
  for (const row of rows) {
    const table = `${name}.${pg.escapeIdentifier(row.table_name)}`
    await client.query(`alter table ${table} enable row level security`)
    await client.query(`drop policy if exists own_tenant on ${table}`)
    await client.query(
      `create policy own_tenant on ${table} to ${TENANT_ROLE} using (tenant = current_setting('soma.tenant', true)) with check (tenant = current_setting('soma.tenant', true))`,
    )
    await client.query(`grant select, insert, update, delete on ${table} to ${TENANT_ROLE}`)
  }
}

async function listen(
  connection: pg.PoolConfig,
  channel: string,
  handler: (payload: string) => void,
  onReconnect?: () => void,
): Promise<() => Promise<void>> {
  let stopped = false
  let client: pg.Client
  let retry: NodeJS.Timeout | undefined
  /** An attempt that fails is told of twice, by its error and by its connection's end; only the later of them starts the next. */
  const reconnectAfter = (milliseconds: number) => {
    clearTimeout(retry)
    if (!stopped) retry = setTimeout(() => void reconnect(), milliseconds)
  }
  const connect = async () => {
    client = new pg.Client(connection)
    client.on('notification', (message) => handler(message.payload ?? ''))
    client.on('error', () => undefined)
    client.on('end', () => reconnectAfter(250))
    await client.connect()
    await client.query(`listen ${pg.escapeIdentifier(channel)}`)
  }
  const reconnect = async () => {
    try {
      await connect()
      onReconnect?.()
    } catch {
      reconnectAfter(1000)
    }
  }
  await connect()
  return async () => {
    stopped = true
    clearTimeout(retry)
    await client.end().catch(() => undefined)
  }
}
