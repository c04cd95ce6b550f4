import { SomaError } from '@soma/contracts/errors'
import { requireJson, requireName, requireTenant, requireTimeToLive } from '@soma/contracts/requirements'
import type { Redis } from '../redis/redis.ts'
import { defineScript } from '../redis/script.ts'
import type { Cache } from './port.ts'
import { requireStep } from './rules.ts'

/** In one step, or a counter that ran out between being added to and being given its time would never go. */
const add = defineScript<number>(`
  local total = redis.call('incrby', KEYS[1], ARGV[1])
  if redis.call('pttl', KEYS[1]) == -1 then redis.call('pexpire', KEYS[1], ARGV[2]) end
  return total`)

/** The cache port on Redis. Nothing is kept in memory here: an answer costs a fraction of a millisecond and is never stale. */
export function openRedisCache(redis: Redis): Cache {
  let closed = false

  function keysOf(tenant: string, key: string): { value: string; counter: string } {
    requireTenant(tenant)
    requireName('cache key', key)
    if (closed) throw new SomaError('shutting_down', `The cache is closed, so "${key}" can not be used. Start again to use it.`)
    return { value: `${redis.prefix}:cache:value:${tenant}/${key}`, counter: `${redis.prefix}:cache:counter:${tenant}/${key}` }
  }

  return {
    get: async (tenant, key) => {
      const { value } = keysOf(tenant, key)
      const json = await redis.run((client) => client.get(value))
      return json === null ? undefined : (JSON.parse(json) as unknown)
    },
    set: async (tenant, key, value, ttlMilliseconds) => {
      const keys = keysOf(tenant, key)
      requireTimeToLive(`ttlMilliseconds of the cache key "${key}"`, ttlMilliseconds)
      const json = requireJson(`value of the cache key "${key}"`, value)
      await redis.run((client) => client.set(keys.value, json, 'PX', ttlMilliseconds))
    },
    delete: async (tenant, key) => {
      const { value, counter } = keysOf(tenant, key)
      await redis.run((client) => client.del(value, counter))
    },
    increment: async (tenant, key, by, ttlMilliseconds) => {
      const { counter } = keysOf(tenant, key)
      requireTimeToLive(`ttlMilliseconds of the counter "${key}"`, ttlMilliseconds)
      requireStep(key, by)
      return redis.run((client) => add(client, [counter], [by, ttlMilliseconds]))
    },
    version: () => redis.version(),
    close: async () => {
      closed = true
      redis.close()
    },
  }
}
