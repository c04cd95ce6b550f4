import { randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { openTestSql } from '../sql/testing.ts'
import { broadcastConformance } from './conformance.ts'
import { openPostgresBroadcast } from './postgres.ts'

const sql = await openTestSql()
afterAll(() => sql.close())
broadcastConformance('postgres', () => openPostgresBroadcast(sql))

describe('broadcast on PostgreSQL', () => {
  test('subscribers are told when the connection was cut, and hear again', async () => {
    const channel = randomUUID()
    const broadcast = await openPostgresBroadcast(sql)
    const heard: unknown[] = []
    let gaps = 0
    await broadcast.subscribe(
      channel,
      (message) => heard.push(message),
      () => gaps++,
    )
    await sql.superuser.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where query ilike \'listen "soma_broadcast"\' and datname = current_database()',
    )
    await expect.poll(() => gaps, { timeout: 10_000 }).toBe(1)
    await broadcast.publish(channel, 'again')
    await expect.poll(() => heard).toEqual(['again'])
    await broadcast.close()
  })

  test('rows of large messages go once every listener had its time', async () => {
    const broadcast = await openPostgresBroadcast(sql)
    await broadcast.publish('large', 'x'.repeat(10_000))
    await sql.platform.query("update broadcast.large_messages set at = now() - interval '6 minutes'")
    await broadcast.publish('large', 'y'.repeat(10_000))
    const { rows } = await sql.platform.query("select left(message, 35) ~ 'yyy' as is_new from broadcast.large_messages")
    expect(rows).toEqual([{ is_new: true }])
    await broadcast.close()
  })

  test('tenants can not read the rows of large messages', async () => {
    const broadcast = await openPostgresBroadcast(sql)
    await broadcast.publish('large', 'x'.repeat(10_000))
    await expect(sql.tenant('acme').query('select * from broadcast.large_messages')).rejects.toThrow(/permission denied/)
    await broadcast.close()
  })

  test('a hundred channels share one connection', async () => {
    const broadcast = await openPostgresBroadcast(sql)
    const stops = await Promise.all(Array.from({ length: 100 }, (_, index) => broadcast.subscribe(`channel ${index}`, () => undefined)))
    const { rows } = await sql.superuser.query(
      'select count(*)::int as listeners from pg_stat_activity where query ilike \'listen "soma_broadcast"\' and datname = current_database()',
    )
    expect(rows).toEqual([{ listeners: 1 }])
    await Promise.all(stops.map((stop) => stop()))
    await broadcast.close()
  })
})
