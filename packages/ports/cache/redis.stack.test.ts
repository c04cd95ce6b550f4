import { openRedisOfStack } from '../redis/testing.ts'
import { cacheConformance } from './conformance.ts'
import { openRedisCache } from './redis.ts'

cacheConformance('redis', async () => openRedisCache(await openRedisOfStack()))
