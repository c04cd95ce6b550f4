import { randomUUID } from 'node:crypto'
import { fromStack } from '../testing.ts'
import { openRedis, type Redis } from './redis.ts'

/** Of this test run, so that no other run on the same server is heard. */
const prefix = `test-${randomUUID()}`

/** A pair of connections, as another process has it, to the group behind the Sentinels of the stack. */
export function openRedisOfStack(): Promise<Redis> {
  return openRedis({
    sentinels: fromStack('SOMA_REDIS_SENTINELS').split(','),
    sentinelName: fromStack('SOMA_REDIS_SENTINEL_NAME'),
    password: fromStack('SOMA_REDIS_PASSWORD'),
    sentinelPassword: fromStack('SOMA_REDIS_SENTINEL_PASSWORD'),
    prefix,
  })
}
