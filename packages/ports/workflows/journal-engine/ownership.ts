import { SomaError } from '@soma/contracts/errors'
import type pg from 'pg'
import type { Sql } from '../../sql/port.ts'

const RUNS_LOCK = 7_301_002

export interface Ownership {
  isHeld(): boolean
  release(): Promise<void>
}

/**
 * Takes the advisory lock that makes this process the one owner of the runs. It is bound to a connection, so a killed owner frees it
 * by dying. Should a dead owner's appends still be under way, the streams' numbering fences them.
 * @throws `data_directory_in_use` when another process keeps it
 */
export async function claimOwnership(sql: Sql, patience: number, onLost: () => void): Promise<Ownership> {
  const client: pg.PoolClient = await sql.platform.connect()
  let held = false
  let released = false
  const deadline = Date.now() + patience
  try {
    for (;;) {
      const { rows } = await client.query('select pg_try_advisory_lock($1) as taken', [RUNS_LOCK])
      if (rows[0].taken) break
      if (Date.now() > deadline) {
        throw new SomaError(
          'data_directory_in_use',
          'Another server owns the runs of this database. Stop it first, or give this one another data directory with SOMA_DATA.',
        )
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  } catch (error) {
    client.release(true)
    throw error
  }
  held = true
  client.on('error', () => undefined)
  client.on('end', () => {
    held = false
    if (!released) onLost()
  })
  return {
    isHeld: () => held,
    async release() {
      released = true
      await client.query('select pg_advisory_unlock($1)', [RUNS_LOCK]).catch(() => undefined)
      client.release(true)
    },
  }
}
