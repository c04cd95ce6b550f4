import { requireName } from '@soma/contracts/requirements'
import type { Sql } from '../sql/port.ts'
import { LOCKS_MIGRATIONS } from './migrations.ts'
import type { Lease, Locks } from './port.ts'
import { createTaking } from './taking.ts'

const RELEASED = 'soma_locks'

/** The locks port on PostgreSQL. Time is the database's, so machines whose clocks differ agree on when a lease ran out. */
export async function openPostgresLocks(sql: Sql): Promise<Locks> {
  await sql.migrate('locks', LOCKS_MIGRATIONS)
  // A release deletes its row; these are of holders that died.
  await sql.platform.query(`delete from locks.leases where expires_at < clock_timestamp() - interval '1 day'`)
  const { tryAcquire, acquire, stop } = createTaking({ take, onRelease: (wake, wakeAll) => sql.listen(RELEASED, wake, wakeAll) })

  async function take(name: string, ttlMilliseconds: number, holder: string): Promise<{ lease?: Lease; freeIn: number }> {
    // Before the question is asked, so that this machine always believes the lease to end before the database does.
    const askedAt = Date.now()
    const { rows } = await sql.platform.query({
      name: 'locks-take',
      text: 'select taken, free_in_milliseconds from locks.take($1, $2, $3)',
      values: [name, holder, ttlMilliseconds],
    })
    const { taken, free_in_milliseconds } = rows[0] as { taken: string | null; free_in_milliseconds: number | null }
    if (taken === null) return { freeIn: Math.ceil(free_in_milliseconds ?? 0) }
    return { lease: createLease(sql, name, BigInt(taken), ttlMilliseconds, askedAt + ttlMilliseconds), freeIn: 0 }
  }

  return {
    tryAcquire,
    acquire,
    inspect: async (name) => {
      requireName('lock name', name)
      const { rows } = await sql.platform.query(
        `select holder, token, extract(epoch from expires_at - clock_timestamp())::float8 * 1000 as remaining
         from locks.leases where name = $1 and expires_at > clock_timestamp()`,
        [name],
      )
      const row = rows[0] as { holder: string; token: string; remaining: number } | undefined
      return row && { holder: row.holder, token: BigInt(row.token), expiresAt: Math.floor(Date.now() + row.remaining) }
    },
    version: () => sql.version(),
    close: stop,
  }
}

function createLease(sql: Sql, name: string, token: bigint, ttlMilliseconds: number, firstExpiry: number): Lease {
  let expiresAt = firstExpiry
  return {
    name,
    token,
    get expiresAt() {
      return expiresAt
    },
    renew: async () => {
      const askedAt = Date.now()
      const { rowCount } = await sql.platform.query(
        `update locks.leases set expires_at = clock_timestamp() + $3 * interval '1 millisecond'
         where name = $1 and token = $2 and expires_at > clock_timestamp()`,
        [name, token, ttlMilliseconds],
      )
      if (rowCount === 1) expiresAt = askedAt + ttlMilliseconds
      return rowCount === 1
    },
    release: async () => {
      // Not waited for until it is on disk: should a crash undo it, the lease runs out by itself.
      await sql.platform.query(
        `with released as (delete from locks.leases where name = $1 and token = $2 returning name)
         select pg_notify('${RELEASED}', name), set_config('synchronous_commit', 'off', true) from released`,
        [name, token],
      )
    },
  }
}
