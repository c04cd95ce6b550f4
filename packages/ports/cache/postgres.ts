import { randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { requireJson, requireName, requireTenant, requireTimeToLive } from '@soma/contracts/requirements'
import { LRUCache } from 'lru-cache'
import type { Migration, Sql } from '../sql/port.ts'
import type { Cache } from './port.ts'
import { requireStep } from './rules.ts'

const CHANGED = 'soma_cache'
const MEMORY_BYTES = 32 * 1024 * 1024
/** How stale memory can be at the worst, while the listening connection is lost without our knowing. */
const LONGEST_IN_MEMORY = 5_000
const SWEEP_AT_ONCE = 10_000

const MIGRATIONS: Migration[] = [
  {
    name: '001-entries-and-counters',
    // Unlogged: a cache may be empty after a crash, and writes cost no log. The functions do in one round trip what takes several statements.
    up: `
      create unlogged table entries (tenant text, key text, value text not null, expires_at timestamptz not null, primary key (tenant, key));
      create unlogged table counters (tenant text, key text, value bigint not null, expires_at timestamptz not null, primary key (tenant, key));
      create index entries_expires_at on entries (expires_at);
      create index counters_expires_at on counters (expires_at);

      create function write(of_tenant text, of_key text, new_value text, ttl_milliseconds bigint, change text) returns void language plpgsql as $$
      begin
        insert into cache.entries values (of_tenant, of_key, new_value, clock_timestamp() + ttl_milliseconds * interval '1 millisecond')
          on conflict (tenant, key) do update set value = excluded.value, expires_at = excluded.expires_at;
        perform pg_notify('${CHANGED}', change);
      end $$;

      create function remove(of_tenant text, of_key text, change text) returns void language plpgsql as $$
      begin
        delete from cache.entries where tenant = of_tenant and key = of_key;
        delete from cache.counters where tenant = of_tenant and key = of_key;
        perform pg_notify('${CHANGED}', change);
      end $$;

      create function add(of_tenant text, of_key text, amount bigint, ttl_milliseconds bigint) returns bigint language plpgsql as $$
      declare
        total bigint;
      begin
        insert into cache.counters as counter values (of_tenant, of_key, amount, now() + ttl_milliseconds * interval '1 millisecond')
          on conflict (tenant, key) do update set
            value = case when counter.expires_at <= now() then excluded.value else counter.value + excluded.value end,
            expires_at = case when counter.expires_at <= now() then excluded.expires_at else counter.expires_at end
          returning value into total;
        return total;
      end $$`,
  },
]

interface PostgresCacheOptions {
  /** How often expired rows are deleted. Default a minute. */
  sweepEveryMilliseconds?: number
}

/** The cache port on an unlogged table, with the values used last in memory. */
export async function openPostgresCache(sql: Sql, options: PostgresCacheOptions = {}): Promise<Cache> {
  await sql.migrate('cache', MIGRATIONS)
  const self = randomUUID()
  /** JSON text, so that no caller's change to its copy reaches another. */
  const memory = new LRUCache<string, string>({ maxSize: MEMORY_BYTES, sizeCalculation: (json, id) => 2 * (json.length + id.length) })
  /** Reads under way. One that a change overtook is taken out, and what it found is not kept in memory. */
  const reads = new Map<string, Promise<Found | undefined>>()
  let closed = false

  function forget(id: string): void {
    memory.delete(id)
    reads.delete(id)
  }

  const stopListening = await sql.listen(
    CHANGED,
    (change) => {
      const [by, id] = splitAtSpace(change)
      if (by !== self) forget(id)
    },
    () => {
      memory.clear()
      reads.clear()
    },
  )
  const sweeping = setInterval(() => void sweep(sql), options.sweepEveryMilliseconds ?? 60_000).unref()

  async function read(tenant: string, key: string, id: string): Promise<string | undefined> {
    const underWay = reads.get(id)
    if (underWay) return (await underWay)?.json
    const start = performance.now()
    const reading = readEntry(sql, tenant, key)
    reads.set(id, reading)
    try {
      const found = await reading
      if (found && reads.get(id) === reading) {
        const ttl = Math.floor(Math.min(found.millisecondsLeft, LONGEST_IN_MEMORY))
        if (ttl >= 1) memory.set(id, found.json, { ttl, start })
      }
      return found?.json
    } finally {
      if (reads.get(id) === reading) reads.delete(id)
    }
  }

  function entryId(tenant: string, key: string): string {
    requireTenant(tenant)
    requireName('cache key', key)
    if (closed) throw new SomaError('shutting_down', `The cache is closed, so "${key}" can not be used. Start again to use it.`)
    return `${tenant}/${key}`
  }

  return {
    get: async (tenant, key) => {
      const id = entryId(tenant, key)
      const json = memory.get(id) ?? (await read(tenant, key, id))
      return json === undefined ? undefined : (JSON.parse(json) as unknown)
    },
    set: async (tenant, key, value, ttlMilliseconds) => {
      const id = entryId(tenant, key)
      requireTimeToLive(`ttlMilliseconds of the cache key "${key}"`, ttlMilliseconds)
      const json = requireJson(`value of the cache key "${key}"`, value)
      await sql.tenant(tenant).query({
        name: 'cache-write',
        text: 'select cache.write($1, $2, $3, $4, $5)',
        values: [tenant, key, json, ttlMilliseconds, `${self} ${id}`],
      })
      // Not put into memory: of two writes at once nobody here knows which came last.
      forget(id)
    },
    delete: async (tenant, key) => {
      const id = entryId(tenant, key)
      await sql.tenant(tenant).query('select cache.remove($1, $2, $3)', [tenant, key, `${self} ${id}`])
      forget(id)
    },
    increment: async (tenant, key, by, ttlMilliseconds) => {
      entryId(tenant, key)
      requireTimeToLive(`ttlMilliseconds of the counter "${key}"`, ttlMilliseconds)
      requireStep(key, by)
      const { rows } = await sql.tenant(tenant).query({
        name: 'cache-add',
        text: 'select cache.add($1, $2, $3, $4) as total',
        values: [tenant, key, by, ttlMilliseconds],
      })
      return Number((rows[0] as { total: string }).total)
    },
    version: () => sql.version(),
    close: async () => {
      closed = true
      clearInterval(sweeping)
      memory.clear()
      await stopListening()
    },
  }
}

interface Found {
  json: string
  millisecondsLeft: number
}

async function readEntry(sql: Sql, tenant: string, key: string): Promise<Found | undefined> {
  const { rows } = await sql.tenant(tenant).query<Found>({
    name: 'cache-read',
    text: `select value as json, extract(epoch from expires_at - clock_timestamp())::float8 * 1000 as "millisecondsLeft"
      from cache.entries where tenant = $1 and key = $2 and expires_at > clock_timestamp()`,
    values: [tenant, key],
  })
  return rows[0]
}

/** Deletes what expired, in portions, so that no statement holds many rows for long. */
async function sweep(sql: Sql): Promise<void> {
  try {
    for (const table of ['entries', 'counters']) {
      const statement = `delete from cache.${table} where ctid = any (array(
        select ctid from cache.${table} where expires_at <= now() limit ${SWEEP_AT_ONCE} for update skip locked))`
      while ((await sql.platform.query(statement)).rowCount === SWEEP_AT_ONCE);
    }
  } catch {
    // Expired rows are never read, so a sweep that could not run costs only space; the next one comes in a minute.
  }
}

function splitAtSpace(text: string): [string, string] {
  const space = text.indexOf(' ')
  return [text.slice(0, space), text.slice(space + 1)]
}
