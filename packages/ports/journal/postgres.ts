import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { Sql } from '../sql/port.ts'
import { JOURNAL_MIGRATIONS } from './migrations.ts'
import { EVERY_TENANT, type Journal, type StoredEntry } from './port.ts'
import { createWriter } from './writer.ts'

const CHANNEL = 'journal'
/** Other processes hear of appends at the most this often, in milliseconds: a hint, kept off the writer's road. */
const NOTIFY_EVERY = 25

/** Bytes of payloads, as the database packs them, that one page of stored entries holds before it ends. */
const STORED_PAGE_BYTES = 4 * 1024 * 1024

const LINK = `position, tenant, stream, seq, kind, at, encode(digest, 'hex') as digest, encode(prev_hash, 'hex') as "prevHash", encode(hash, 'hex') as hash`
const FIELDS = `${LINK}, payload, payload is null as redacted`
const SETTLED = 'xid < pg_snapshot_xmin(pg_current_snapshot())'

/** Steps from one tenant to the next in the index, however many entries lie between them. */
const TENANTS = `with recursive known as (
    (select tenant from journal.entries order by tenant limit 1)
    union all
    select (select tenant from journal.entries where tenant > known.tenant order by tenant limit 1) from known where known.tenant is not null
  ) select tenant from known where tenant is not null`

/** The journal on PostgreSQL, embedded or not. */
export async function openPostgresJournal(sql: Sql): Promise<Journal> {
  await sql.migrate('journal', JOURNAL_MIGRATIONS)
  const listeners = new Set<() => void>()
  const announce = createAnnouncer(sql)
  const tellListeners = () => {
    for (const listener of listeners) listener()
  }
  const writer = createWriter(sql.platform, () => {
    tellListeners()
    announce.soon()
  })
  const stopListening = await sql.listen(CHANNEL, tellListeners, tellListeners)
  const within = (tenant: string | typeof EVERY_TENANT) => (tenant === EVERY_TENANT ? sql.platform : sql.tenant(tenant))

  return {
    append: writer.append,
    async read(tenant, stream, { afterSeq = 0, limit = 1_000_000 } = {}) {
      const { rows } = await within(tenant).query(
        `select ${FIELDS} from journal.entries where tenant = $1 and stream = $2 and seq > $3 order by seq limit $4`,
        [tenant, stream, afterSeq, limit],
      )
      return rows.map(toEntry)
    },
    async readLast(tenant, stream) {
      const { rows } = await within(tenant).query(
        `select ${FIELDS} from journal.entries where tenant = $1 and stream = $2 order by seq desc limit 1`,
        [tenant, stream],
      )
      return rows[0] && toEntry(rows[0])
    },
    async tail(query) {
      const { where, values } = tailCondition(query)
      const { rows } = await within(query.tenant).query(
        `select ${FIELDS} from journal.entries where ${where} order by position limit ${query.limit ?? 1000}`,
        values,
      )
      return rows.map(toEntry)
    },
    async stored({ limit = 1000, ...query }) {
      const { where, values } = storedCondition(query)
      // Sizes as packed cost no unpacking: what would be too much for one page is never read.
      const { rows } = await within(query.tenant).query(
        `select ${LINK}, payload::text as text, salt from (
           select *, sum(pg_column_size(payload)) over (order by position rows between unbounded preceding and 1 preceding) as bytes_before
           from (select * from journal.entries where ${where} order by position limit ${limit}) found
         ) page where bytes_before is null or bytes_before < ${STORED_PAGE_BYTES} order by position`,
        values,
      )
      return rows.map(toStoredEntry)
    },
    async kinds(tenant) {
      const { rows } = await within(tenant).query('select distinct kind from journal.entries where tenant = $1 order by kind', [tenant])
      return rows.map(({ kind }) => kind)
    },
    async tenants() {
      const { rows } = await sql.platform.query(TENANTS)
      return rows.map(({ tenant }) => tenant)
    },
    async redact(tenant, stream, seqs) {
      await sql.platform.query(
        'update journal.entries set payload = null, salt = null where tenant = $1 and stream = $2 and seq = any($3) and payload is not null',
        [tenant, stream, seqs],
      )
    },
    async newest({ limit, ...query }) {
      const { where, values } = tailCondition({ ...query, after: '0' })
      const { rows } = await within(query.tenant).query(
        `select ${FIELDS} from journal.entries where ${where} order by position desc limit ${limit}`,
        values,
      )
      return rows.map(toEntry)
    },
    async lastPosition() {
      const { rows } = await sql.platform.query(`select position from journal.entries where ${SETTLED} order by position desc limit 1`)
      return rows[0]?.position ?? '0'
    },
    async barrier() {
      // The lock waits for every transaction that inserts, and is let go at once.
      await sql.platform.query('do $$ begin lock table journal.entries in share row exclusive mode; end $$')
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

/** Conditions joined by and. Only those asked for, so that the planner sees which index serves them. */
function createConditions(...always: string[]) {
  const conditions = [...always]
  const values: unknown[] = []
  return {
    add(condition: (place: string) => string, value: unknown) {
      values.push(value)
      conditions.push(condition(`$${values.length}`))
    },
    done: () => ({ where: conditions.join(' and '), values }),
  }
}

function tailCondition({ after, tenant, streamPrefix, kinds, includeUnsettled }: Parameters<Journal['tail']>[0]) {
  const { add, done } = createConditions('payload is not null', ...(includeUnsettled ? [] : [SETTLED]))
  add((place) => `position > ${place}`, after)
  if (tenant !== EVERY_TENANT) add((place) => `tenant = ${place}`, tenant)
  if (kinds) add((place) => `kind = any(${place})`, kinds)
  if (streamPrefix) {
    // A range over the index (tenant, stream, seq), whose order is that of bytes.
    add((place) => `stream >= ${place}`, streamPrefix)
    add(
      (place) => `stream < ${place}`,
      streamPrefix.slice(0, -1) + String.fromCharCode(streamPrefix.charCodeAt(streamPrefix.length - 1) + 1),
    )
  }
  return done()
}

function storedCondition({ after, tenant, through, stream, kinds, withContent }: Omit<Parameters<Journal['stored']>[0], 'limit'>) {
  const { add, done } = createConditions(SETTLED, ...(withContent ? ['payload is not null'] : []))
  add((place) => `tenant = ${place}`, tenant)
  add((place) => `position > ${place}`, after)
  if (through !== undefined) add((place) => `position <= ${place}`, through)
  if (stream !== undefined) add((place) => `stream = ${place}`, stream)
  if (kinds) add((place) => `kind = any(${place})`, kinds)
  return done()
}

type Row = Omit<JournalEntry, 'at' | 'redacted'> & { at: Date; redacted: boolean }

function toEntry({ at, payload, redacted, ...row }: Row): JournalEntry {
  const fields = { ...row, at: at.toISOString() }
  return redacted ? withoutPayload(fields) : { ...fields, payload }
}

/** Whoever passes the entry on does not meet the payload; whoever needs it is told why there is none. */
function withoutPayload(fields: Omit<JournalEntry, 'payload'>): JournalEntry {
  const { stream, seq } = fields
  return Object.defineProperty({ ...fields, redacted: true, payload: undefined }, 'payload', {
    enumerable: false,
    get() {
      throw new SomaError('redacted', `The content of entry ${seq} of ${stream} was redacted; its digest is all that is left.`, {
        stream,
        seq,
      })
    },
  })
}

function toStoredEntry({ at, text, salt, ...row }: StoredRow): StoredEntry {
  return { ...row, at: at.toISOString(), ...(salt === null ? {} : { salt }), ...(text === null ? {} : { text }) }
}

interface StoredRow extends Omit<StoredEntry, 'at' | 'text' | 'salt'> {
  at: Date
  text: string | null
  salt: string | null
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
