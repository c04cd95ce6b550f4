import { SomaError } from '@soma/contracts/errors'
import { requireName } from '@soma/contracts/requirements'
import type { Redis } from '../redis/redis.ts'
import { defineScript } from '../redis/script.ts'
import type { Sql } from '../sql/port.ts'
import { LOCKS_MIGRATIONS } from './migrations.ts'
import type { Lease, Locks } from './port.ts'
import { BLOCK_SIZE, openTokenBlocks, REIGN, tokenOf } from './redis-tokens.ts'
import { createTaking } from './taking.ts'

/** A release wakes who waits. Should one be missed all the same, they ask again after so long. */
const ASK_AGAIN_MILLISECONDS = 5_000
/** More primaries in a row than that, within one question, is a group that has not settled. */
const MOST_REIGNS = 3

/** A lease is kept as `<mark> <holder>`. Nobody is given one from a block that this reign did not get, or that is older than ARGV[3]. */
const take = defineScript<['held', number] | ['unsupplied', string] | ['taken', string]>(`
  local left = redis.call('pttl', KEYS[1])
  if left >= 0 then return {'held', left} end
  local reign = ${REIGN}
  local tokens = redis.call('hmget', KEYS[2], 'reign', 'below', 'given')
  if tokens[1] ~= reign or tokens[2] < ARGV[3] or tonumber(tokens[3]) >= ${BLOCK_SIZE} then return {'unsupplied', reign} end
  local mark = tokens[2] .. '+' .. redis.call('hincrby', KEYS[2], 'given', 1)
  redis.call('set', KEYS[1], mark .. ' ' .. ARGV[2], 'px', ARGV[1])
  return {'taken', mark}`)

const IS_HELD = `string.sub(redis.call('get', KEYS[1]) or '', 1, #ARGV[1] + 1) == ARGV[1] .. ' '`

const prolong = defineScript<0 | 1>(`
  if ${IS_HELD} then return redis.call('pexpire', KEYS[1], ARGV[2]) end
  return 0`)

const free = defineScript(`
  if not (${IS_HELD}) then return end
  redis.call('del', KEYS[1])
  redis.call('publish', ARGV[2], ARGV[3])`)

const look = defineScript<[string | null, number]>(`return {redis.call('get', KEYS[1]), redis.call('pttl', KEYS[1])}`)

/**
 * The locks port on Redis, its tokens from a sequence in PostgreSQL (ADR 10). Time is the server's; only durations cross the network. A
 * failover may forget a lease that was just given, so two may believe to hold one lock until it runs out: the token decides between them.
 */
export async function openRedisLocks({ redis, sql }: { redis: Redis; sql: Sql }): Promise<Locks> {
  await sql.migrate('locks', LOCKS_MIGRATIONS)
  const tokensKey = `${redis.prefix}:locks:tokens`
  const released = `${redis.prefix}:locks:released`
  const keyOf = (name: string) => `${redis.prefix}:lock:${name}`
  const blocks = await openTokenBlocks(sql, redis, tokensKey)
  const { tryAcquire, acquire, stop } = createTaking({
    take: async (name, ttlMilliseconds, holder) => {
      const { lease, freeIn } = await tryTake(name, ttlMilliseconds, holder)
      return { lease, freeIn: Math.min(freeIn, ASK_AGAIN_MILLISECONDS) }
    },
    onRelease: (wake, wakeAll) => redis.listen(released, wake, wakeAll),
  })

  async function tryTake(name: string, ttlMilliseconds: number, holder: string): Promise<{ lease?: Lease; freeIn: number }> {
    for (let reigns = 0; reigns < MOST_REIGNS; reigns++) {
      // Before the question is asked, so that this machine always believes the lease to end before the server does.
      const askedAt = Date.now()
      const [answer, detail] = await redis.run((client) =>
        take(client, [keyOf(name), tokensKey], [ttlMilliseconds, holder, blocks.newest()]),
      )
      if (answer === 'held') return { freeIn: Math.max(detail, 1) }
      if (answer === 'taken') return { lease: createLease(name, detail, ttlMilliseconds, askedAt + ttlMilliseconds), freeIn: 0 }
      await blocks.supply(detail)
    }
    throw new SomaError('dependency_unavailable', `Redis changes its primary too often to take the lock "${name}". Try again.`)
  }

  function createLease(name: string, mark: string, ttlMilliseconds: number, firstExpiry: number): Lease {
    let expiresAt = firstExpiry
    let isReleased = false
    return {
      name,
      token: tokenOf(mark),
      get expiresAt() {
        return expiresAt
      },
      renew: async () => {
        // A failover may have forgotten the release.
        if (isReleased) return false
        const askedAt = Date.now()
        const isHeld = (await redis.run((client) => prolong(client, [keyOf(name)], [mark, ttlMilliseconds]))) === 1
        if (isHeld) expiresAt = askedAt + ttlMilliseconds
        return isHeld
      },
      release: async () => {
        isReleased = true
        await redis.run((client) => free(client, [keyOf(name)], [mark, released, name]))
      },
    }
  }

  return {
    tryAcquire,
    acquire,
    inspect: async (name) => {
      requireName('lock name', name)
      const [lease, left] = await redis.run((client) => look(client, [keyOf(name)], []))
      if (!lease) return undefined
      const space = lease.indexOf(' ')
      return { holder: lease.slice(space + 1), token: tokenOf(lease.slice(0, space)), expiresAt: Date.now() + left }
    },
    version: () => redis.version(),
    close: async () => {
      await stop()
      redis.close()
    },
  }
}
