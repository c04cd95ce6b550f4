import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { openTestSql } from '../sql/testing.ts'
import { cacheConformance } from './conformance.ts'
import { openPostgresCache } from './postgres.ts'

const sql = await openTestSql()
afterAll(() => sql.close())
cacheConformance('postgres', () => openPostgresCache(sql))

const HOUR = 3_600_000

describe('cache on PostgreSQL', () => {
  test('what was read once is answered from memory, until it changes', async () => {
    const key = randomUUID()
    const [here, there] = [await openPostgresCache(sql), await openPostgresCache(sql)]
    await here.set('acme', key, 'old', HOUR)
    expect(await here.get('acme', key)).toBe('old')
    // Changed behind everybody's back: only memory still says the old.
    await sql.platform.query('update cache.entries set value = \'"sly"\' where key = $1', [key])
    expect(await here.get('acme', key)).toBe('old')
    await there.set('acme', key, 'new', HOUR)
    await expect.poll(() => here.get('acme', key), { timeout: 3_000 }).toBe('new')
    await Promise.all([here.close(), there.close()])
  })

  test('memory is emptied after the listening connection was cut', async () => {
    const key = randomUUID()
    const cache = await openPostgresCache(sql)
    await cache.set('acme', key, 'old', HOUR)
    expect(await cache.get('acme', key)).toBe('old')
    await sql.platform.query('update cache.entries set value = \'"new"\' where key = $1', [key])
    const cutAt = performance.now()
    await sql.superuser.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where query ilike \'listen "soma_cache"\' and datname = current_database()',
    )
    await expect.poll(() => cache.get('acme', key), { timeout: 4_000 }).toBe('new')
    expect(performance.now() - cutAt, 'memory ran out by itself').toBeLessThan(4_500)
    await cache.close()
  })

  test('expired rows are swept, others stay', async () => {
    const cache = await openPostgresCache(sql, { sweepEveryMilliseconds: 20 })
    const [short, long] = [randomUUID(), randomUUID()]
    await cache.set('acme', short, 1, 10)
    await cache.increment('acme', short, 1, 10)
    await cache.set('acme', long, 1, HOUR)
    await cache.increment('acme', long, 1, HOUR)
    const left = async () =>
      (
        await sql.platform.query(
          'select key from cache.entries where key = any ($1) union all select key from cache.counters where key = any ($1)',
          [[short, long]],
        )
      ).rows.map((row: { key: string }) => row.key)
    await expect.poll(left).toEqual([long, long])
    await cache.close()
  })
})
