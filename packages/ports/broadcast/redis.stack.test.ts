import { openRedisOfStack } from '../redis/testing.ts'
import { broadcastConformance } from './conformance.ts'
import { openRedisBroadcast } from './redis.ts'

broadcastConformance('redis', async () => openRedisBroadcast(await openRedisOfStack()))
