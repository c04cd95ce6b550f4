import { SomaError } from '@soma/contracts/errors'
import type { Redis } from '../redis/redis.ts'
import { defineScript } from '../redis/script.ts'
import type { Sql } from '../sql/port.ts'

/** Tokens in a block: at ten thousand locks a second they last for three years, and the sequence holds eight million blocks. */
export const BLOCK_SIZE = 2 ** 40
/** Blocks are compared as text in Lua, whose numbers end at 2^53. */
const DIGITS = 19
const LOOK_EVERY_MILLISECONDS = 2_000

/**
 * The server's replication id: another one after every restart as a primary and after every promotion, so nothing that the server gave
 * out under one id was forgotten under the same id.
 */
export const REIGN = `string.match(redis.call('info', 'replication'), 'master_replid:(%x+)')`

/** Hands a block to the reign it was drawn for. An older block never replaces a newer one. */
const handOver = defineScript(`
  local reign = ${REIGN}
  if reign ~= ARGV[1] then return 0 end
  local tokens = redis.call('hmget', KEYS[1], 'reign', 'below')
  if tokens[1] == reign and tokens[2] >= ARGV[2] then return 0 end
  return redis.call('hset', KEYS[1], 'reign', reign, 'below', ARGV[2], 'given', 0)`)

/**
 * Blocks of tokens, drawn from a sequence in PostgreSQL, that Redis gives out one by one. A primary that may have forgotten what it or its
 * predecessor gave out gets a new block, and so goes on above all of it. See ADR 10.
 */
export async function openTokenBlocks(sql: Sql, redis: Redis, key: string) {
  let newest = ''
  let lookedAt = 0
  const drawing = new Map<string, Promise<void>>()

  async function look(): Promise<void> {
    lookedAt = performance.now()
    const { rows } = await sql.platform.query('select last_value from locks.tokens')
    const below = BigInt((rows[0] as { last_value: string }).last_value) - BigInt(BLOCK_SIZE)
    newest = asText(below > 0n ? below : 0n)
  }

  async function draw(reign: string): Promise<void> {
    const { rows } = await sql.platform.query('select locks.take_block($1) as below', [BLOCK_SIZE])
    const below = asText(BigInt((rows[0] as { below: string }).below))
    newest = below
    await redis.run((client) => handOver(client, [key], [reign, below]))
  }

  await look()
  return {
    /**
     * What the block in use must not be older than. Were two servers to take themselves for the primary, each with a block, the older block
     * would give out tokens that are refused everywhere; so it is looked, beside the work, whether there is a newer one.
     */
    newest(): string {
      if (performance.now() - lookedAt > LOOK_EVERY_MILLISECONDS)
        look().catch(() => {
          // PostgreSQL is away. What is known stays true enough until the next look.
        })
      return newest
    },
    /** Gives a reign its block. @throws `dependency_unavailable` */
    async supply(reign: string): Promise<void> {
      const underWay =
        drawing.get(reign) ??
        draw(reign).finally(() => {
          drawing.delete(reign)
        })
      drawing.set(reign, underWay)
      await underWay
    },
  }
}

function asText(below: bigint): string {
  return String(below).padStart(DIGITS, '0')
}

/** The token that a mark stands for: `<below>+<given>`. */
export function tokenOf(mark: string): bigint {
  const [below, given] = mark.split('+')
  if (below === undefined || given === undefined) throw new SomaError('internal', `"${mark}" is no mark of a lease.`)
  return BigInt(below) + BigInt(given)
}
