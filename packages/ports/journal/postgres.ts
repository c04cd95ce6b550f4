import type { JournalEntry } from '@soma/contracts/journal'
import type { Sql } from '../sql/port.ts'
import { JOURNAL_MIGRATIONS } from './migrations.ts'
import type { Journal } from './port.ts'
import { createWriter } from './writer.ts'

const CHANNEL = 'journal'
/** Other processes hear of appends at the most this often, in milliseconds: a hint, kept off the writer's road. */
const NOTIFY_EVERY = 25

const FIELDS = `position, tenant, stream, seq, kind, at, payload, encode(digest, 'hex') as digest, encode(prev_hash, 'hex') as "prevHash", encode(hash, 'hex') as hash`

/** The journal on PostgreSQL, embedded or not. */
export async function openPostgresJournal(sql: Sql): Promise<Journal> {
  await sql.migrate('journal', JOURNAL_MIGRATIONS)
  const listeners = new Set<() => void>()
  const announce = createAnnouncer(sql)
  const tellListeners = () => {
    for (const listener of listeners) listener()
  }
  const writer = createWriter(sql.pool, () => {
    tellListeners()
    announce.soon()
  })
  const stopListening = await sql.listen(CHANNEL, tellListeners, tellListeners)

  return {
    append: writer.append,
    async read(tenant, stream, { afterSeq = 0, limit = 1_000_000 } = {}) {
      const { rows } = await sql.pool.query(
        `select ${FIELDS} from journal.entries where tenant = $1 and stream = $2 and seq > $3 order by seq limit $4`,
        [tenant, stream, afterSeq, limit],
      )
      return rows.map(toEntry)
    },
    async readLast(tenant, stream) {
      const { rows } = await sql.pool.query(
        `select ${FIELDS} from journal.entries where tenant = $1 and stream = $2 order by seq desc limit 1`,
        [tenant, stream],
      )
      return rows[0] && toEntry(rows[0])
    },
    async tail(query) {
      const { where, values } = tailCondition(query)
      const { rows } = await sql.pool.query(
        `select ${FIELDS} from journal.entries where ${where} order by position limit ${query.limit ?? 1000}`,
        values,
      )
      return rows.map(toEntry)
    },
    async lastPosition() {
      const { rows } = await sql.pool.query(
        'select position from journal.entries where xid < pg_snapshot_xmin(pg_current_snapshot()) order by position desc limit 1',
      )
      return rows[0]?.position ?? '0'
    },
    async barrier() {
      // The lock waits for every transaction that inserts, and is let go at once.
      await sql.pool.query('do $$ begin lock table journal.entries in share row exclusive mode; end $$')
    },
    onAppend(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      await writer.close()
      announce.stop()
      await stopListening()
    },
  }
}

/** Only the conditions asked for, so that the planner sees which index serves them. */
function tailCondition({ after, tenant, streamPrefix, kinds, includeUnsettled }: Parameters<Journal['tail']>[0]): {
  where: string
  values: unknown[]
} {
  const values: unknown[] = [after]
  const conditions = ['position > $1']
  const add = (condition: (place: string) => string, value: unknown) => {
    values.push(value)
    conditions.push(condition(`$${values.length}`))
  }
  if (!includeUnsettled) conditions.push('xid < pg_snapshot_xmin(pg_current_snapshot())')
  if (tenant !== undefined) add((place) => `tenant = ${place}`, tenant)
  if (kinds) add((place) => `kind = any(${place})`, kinds)
  if (streamPrefix) {
    // A range over the index (tenant, stream, seq), whose order is that of bytes.
    add((place) => `stream >= ${place}`, streamPrefix)
    add(
      (place) => `stream < ${place}`,
      streamPrefix.slice(0, -1) + String.fromCharCode(streamPrefix.charCodeAt(streamPrefix.length - 1) + 1),
    )
  }
  return { where: conditions.join(' and '), values }
}

function toEntry(row: Omit<JournalEntry, 'at'> & { at: Date }): JournalEntry {
  return { ...row, at: row.at.toISOString() }
}

function createAnnouncer(sql: Sql) {
  let timer: NodeJS.Timeout | undefined
  return {
    soon() {
      timer ??= setTimeout(() => {
        timer = undefined
        // Whoever misses the hint reads the tail at its next turn all the same.
        void sql.notify(CHANNEL, '').catch(() => undefined)
      }, NOTIFY_EVERY).unref()
    },
    stop: () => clearTimeout(timer),
  }
}
