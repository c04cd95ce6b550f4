import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'
import type { Redis } from '../redis/redis.ts'
import { openRedisOfStack } from '../redis/testing.ts'
import type { Sql } from '../sql/port.ts'
import { openTestSql } from '../sql/testing.ts'
import { locksConformance } from './conformance.ts'
import { openPostgresLocks } from './postgres.ts'
import { openRedisLocks } from './redis.ts'

const sql = await openTestSql()
afterAll(() => sql.close())
const openOnRedis = async (on: Sql) => openRedisLocks({ redis: await openRedisOfStack(), sql: on })
locksConformance('redis', () => openOnRedis(sql))

describe('locks on Redis', () => {
  const LONG = { ttlMilliseconds: 60_000, waitMilliseconds: 30_000 }

  test('waiting does not poll, and a release wakes one waiter of a process', async () => {
    const name = randomUUID()
    const holder = await openOnRedis(sql)
    const redis = await openRedisOfStack()
    let asked = 0
    const counted: Redis['run'] = (work) => {
      asked++
      return redis.run(work)
    }
    const locks = await openRedisLocks({ redis: { ...redis, run: counted }, sql })
    const lease = await holder.acquire(name, LONG)
    const waiting = Array.from({ length: 50 }, () => locks.acquire(name, LONG))
    await expect.poll(() => asked).toBe(1)
    await pass(300)
    expect(asked).toBe(1)
    await lease?.release()
    expect(await waiting[0]).toBeDefined()
    // The first got it, the second asked and stands first now.
    await expect.poll(() => asked).toBe(3)
    await Promise.all(waiting.map(async (turn) => (await turn)?.release()))
    await Promise.all([holder.close(), locks.close()])
  })

  test('a release while the listening connection was cut is not missed', async () => {
    const name = randomUUID()
    const redis = await openRedisOfStack()
    const [here, there] = [await openRedisLocks({ redis, sql }), await openOnRedis(sql)]
    const lease = await here.acquire(name, LONG)
    const waiting = there.acquire(name, LONG)
    await expect(Promise.race([waiting, pass(100, 'still waits')])).resolves.toBe('still waits')
    await redis.run((client) => client.call('client', 'kill', 'type', 'pubsub'))
    await lease?.release()
    expect(await waiting).toBeDefined()
    await Promise.all([here.close(), there.close()])
  })

  test('tokens go on growing from PostgreSQL to Redis and back', async () => {
    const name = randomUUID()
    const tokens: bigint[] = []
    for (const open of [openPostgresLocks, openOnRedis, openPostgresLocks, openOnRedis]) {
      const locks = await open(sql)
      const lease = await locks.acquire(name, LONG)
      tokens.push(lease?.token ?? 0n)
      await lease?.release()
      await locks.close()
    }
    expect(tokens).toEqual([...new Set(tokens)].sort((one, other) => (one < other ? -1 : 1)))
  })
})
