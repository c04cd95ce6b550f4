import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import type { Sql } from '../sql/port.ts'
import { openTestSql } from '../sql/testing.ts'
import { locksConformance } from './conformance.ts'
import { openPostgresLocks } from './postgres.ts'

const sql = await openTestSql()
afterAll(() => sql.close())
locksConformance('postgres', () => openPostgresLocks(sql))

const LONG = { ttlMilliseconds: 60_000, waitMilliseconds: 30_000 }

describe('locks on PostgreSQL', () => {
  test('waiting does not poll, and a release wakes one waiter of a process', async () => {
    const name = randomUUID()
    const holder = await openPostgresLocks(sql)
    const counted = countTakes(sql)
    const locks = await openPostgresLocks(counted.sql)
    const lease = await holder.acquire(name, LONG)
    const waiting = Array.from({ length: 50 }, () => locks.acquire(name, LONG))
    await expect.poll(counted.takes).toBe(1)
    await pass(300)
    expect(counted.takes()).toBe(1)
    await lease?.release()
    expect(await waiting[0]).toBeDefined()
    // The first got it, the second asked and stands first now.
    await expect.poll(counted.takes).toBe(3)
    await Promise.all(waiting.map(async (turn) => (await turn)?.release()))
    await Promise.all([holder.close(), locks.close()])
  })

  test('a release while the listening connection was cut is not missed', async () => {
    const name = randomUUID()
    const [here, there] = [await openPostgresLocks(sql), await openPostgresLocks(sql)]
    const lease = await here.acquire(name, LONG)
    const waiting = there.acquire(name, LONG)
    await expect(Promise.race([waiting, pass(100, 'still waits')])).resolves.toBe('still waits')
    await sql.superuser.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where query ilike \'listen "soma_locks"\' and datname = current_database()',
    )
    await lease?.release()
    expect(await waiting).toBeDefined()
    await Promise.all([here.close(), there.close()])
  })

  test('the lock survives the process that holds it, and what was released leaves no row', async () => {
    const name = randomUUID()
    const before = await openPostgresLocks(sql)
    const lease = await before.tryAcquire(name, { ttlMilliseconds: 60_000 })
    await before.close()
    const after = await openPostgresLocks(sql)
    expect(await after.tryAcquire(name, { ttlMilliseconds: 60_000 })).toBeUndefined()
    await lease?.release()
    expect((await sql.platform.query('select from locks.leases where name = $1', [name])).rowCount).toBe(0)
    await after.close()
  })

  test('a name taken anew after its row was swept still gets a higher token', async () => {
    const name = randomUUID()
    const before = await openPostgresLocks(sql)
    const lost = await before.tryAcquire(name, { ttlMilliseconds: 60_000 })
    await sql.platform.query("update locks.leases set expires_at = now() - interval '2 days' where name = $1", [name])
    await before.close()
    const after = await openPostgresLocks(sql)
    expect((await sql.platform.query('select from locks.leases where name = $1', [name])).rowCount).toBe(0)
    const anew = await after.tryAcquire(name, { ttlMilliseconds: 60_000 })
    expect(anew?.token).toBeGreaterThan(lost?.token ?? 0n)
    await after.close()
  })
})

/** The same database, counting how often the lock was asked for. */
function countTakes(original: Sql): { sql: Sql; takes: () => number } {
  let takes = 0
  const query = ((...args: Parameters<typeof original.platform.query>) => {
    if (JSON.stringify(args[0]).includes('locks.take')) takes++
    return original.platform.query(...args)
  }) as typeof original.platform.query
  return { sql: { ...original, platform: { ...original.platform, query } }, takes: () => takes }
}
