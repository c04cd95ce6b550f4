import type pg from 'pg'
import type { Sql } from '../sql/port.ts'

/** A group's work, as long as this process has it. */
export interface Turn {
  isHeld(): boolean
  /** Where the group is. */
  position(): Promise<string>
  /** Goes over the connection that holds the lock, so whoever lost the group can't move it. */
  moveTo(position: string): Promise<void>
  release(): Promise<void>
}

/**
 * Who works for a group: advisory locks, all on one connection of this process. A killed process frees its groups by dying, and a
 * process that was cut off from the database can't move them any more.
 */
export function createGroupLocks(sql: Sql) {
  const held = new Map<string, Turn>()
  let connection: Promise<pg.PoolClient> | undefined
  let earlier: Promise<unknown> = Promise.resolve()

  async function connect(): Promise<pg.PoolClient> {
    const client = await sql.platform.connect()
    client.on('error', () => undefined)
    client.once('end', () => void disconnect())
    return client
  }

  async function disconnect(): Promise<void> {
    const client = connection
    connection = undefined
    held.clear()
    await client?.then((open) => open.release(true)).catch(() => undefined)
  }

  /** One statement after another, as a connection takes them. `before` may refuse when its turn has come. */
  function query(text: string, values: unknown[], before: () => void = () => undefined): Promise<pg.QueryResult> {
    const answer = earlier.then(async () => {
      before()
      connection ??= connect()
      connection.catch(() => {
        connection = undefined
      })
      return (await connection).query(text, values)
    })
    earlier = answer.catch(() => undefined)
    return answer
  }

  async function isGiven(name: string): Promise<boolean> {
    const { rows } = await query('select pg_try_advisory_lock(hashtextextended($1, 0)) as taken', [name])
    return rows[0].taken
  }

  return {
    /** Undefined while somebody else, here or in another process, has the group. */
    async take(topic: string, group: string): Promise<Turn | undefined> {
      const name = `events/${topic}\n${group}`
      if (held.has(name)) return undefined
      const isHeld = () => held.get(name) === turn
      const requireHeld = () => {
        if (!isHeld()) throw new Error('the group was lost, as the connection to the database was cut')
      }
      const turn: Turn = {
        isHeld,
        async position() {
          const { rows } = await query('select position from events.groups where topic = $1 and name = $2', [topic, group])
          return rows[0]?.position ?? '0'
        },
        async moveTo(position) {
          const values = [topic, group, position]
          await query('update events.groups set position = $3 where topic = $1 and name = $2', values, requireHeld)
        },
        async release() {
          if (!isHeld()) return
          // A connection that is gone has let go of the lock itself.
          await query('select pg_advisory_unlock(hashtextextended($1, 0))', [name]).catch(() => undefined)
          if (isHeld()) held.delete(name)
        },
      }
      // Before the question, as the database would give one connection the same lock twice.
      held.set(name, turn)
      try {
        if (await isGiven(name)) return isHeld() ? turn : undefined
      } catch (error) {
        if (isHeld()) held.delete(name)
        throw error
      }
      if (isHeld()) held.delete(name)
      return undefined
    },
    /** Gives every group up. */
    close: disconnect,
  }
}

export type GroupLocks = ReturnType<typeof createGroupLocks>
