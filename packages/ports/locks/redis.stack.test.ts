import { afterAll } from 'vitest'
import { openRedisOfStack } from '../redis/testing.ts'
import { openTestSql } from '../sql/testing.ts'
import { locksConformance } from './conformance.ts'
import { openRedisLocks } from './redis.ts'

const sql = await openTestSql()
afterAll(() => sql.close())
locksConformance('redis', async () => openRedisLocks({ redis: await openRedisOfStack(), sql }))
