import { randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { contentDigest, entryHash, GENESIS, type JournalEntry } from '@soma/contracts/journal'
import { LRUCache } from 'lru-cache'
import type { Statements } from '../sql/port.ts'
import { digestArray, integerArray, jsonArray, textArray, timestampArray, uuidArray } from './binary-array.ts'
import { payloadText } from './payload.ts'
import type { AppendRequest } from './port.ts'

/** Entries in one INSERT at the most; more wait for the next. */
const MAX_BATCH = 4000
/** Characters of tenant and stream together; PostgreSQL's index takes rows of up to 2,704 bytes. */
const LONGEST_NAME = 800
const UNIQUE_VIOLATION = '23505'
/** How often an append to a stream that several processes write to is tried. */
const MAX_ATTEMPTS = 10

interface Head {
  seq: number
  hash: string
}
const EMPTY: Head = { seq: 0, hash: GENESIS }

interface SealedPayload {
  text: string
  salt: string
}

interface Pending {
  requests: readonly AppendRequest[]
  /** The payloads of all entries in order: serialised once, for the digest and the row. */
  payloads: SealedPayload[]
  resolve(entries: JournalEntry[]): void
  reject(error: unknown): void
}

const INSERT = {
  name: 'journal-append',
  text: `insert into journal.entries (tenant, stream, seq, kind, at, payload, salt, digest, prev_hash, hash)
    select * from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::json[], $7::uuid[], $8::bytea[], $9::bytea[], $10::bytea[])
    returning position`,
}

/**
 * The writer that commits in groups: while one INSERT is under way, appends gather, and the next INSERT takes them all. An idle
 * writer starts when the event loop has done what is ready, so that what arrives together, such as the next steps of all runs whose
 * last ones were just committed, is one group; a lone append waits for nobody.
 */
export function createWriter(platform: Statements, onCommitted: () => void) {
  const heads = new LRUCache<string, Head>({ max: 20_000 })
  let waiting: Pending[] = []
  let busy = false
  let closed = false

  function append(...requests: readonly AppendRequest[]): Promise<JournalEntry[]> {
    if (closed) return Promise.reject(new SomaError('shutting_down', 'The journal is closed.'))
    const payloads: SealedPayload[] = []
    for (const request of requests) {
      assertLinkable(request)
      for (const entry of request.entries) payloads.push({ text: payloadText(entry.kind, entry.payload), salt: randomUUID() })
    }
    return new Promise((resolve, reject) => {
      waiting.push({ requests, payloads, resolve, reject })
      if (busy) return
      busy = true
      setImmediate(drain)
    })
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const batch = takeBatch()
      await commit(batch, 1).catch((error) => {
        for (const pending of batch) pending.reject(asAuditError(error))
      })
    }
    busy = false
  }

  function takeBatch(): Pending[] {
    let entries = 0
    let count = 0
    for (const pending of waiting) {
      if (count > 0 && entries + pending.payloads.length > MAX_BATCH) break
      entries += pending.payloads.length
      count++
    }
    const batch = waiting.slice(0, count)
    waiting = waiting.slice(count)
    return batch
  }

  /**
   * The ends of the streams that a batch appends to. At the first attempt a stream that is expected to be empty needs no look-up: the
   * unique index refuses the entry if it is not.
   */
  async function readEnds(batch: readonly Pending[], attempt: number): Promise<Map<string, Head>> {
    const ends = new Map<string, Head>()
    const unknown = new Map<string, AppendRequest>()
    for (const { requests } of batch) {
      for (const request of requests) {
        const key = keyOf(request)
        if (ends.has(key)) continue
        const head = heads.get(key) ?? (request.expectedSeq === 0 && attempt === 1 ? EMPTY : undefined)
        if (head) ends.set(key, head)
        else unknown.set(key, request)
      }
    }
    if (unknown.size === 0) return ends
    const wanted = [...unknown.values()]
    const { rows } = await platform.query(
      `select u.tenant, u.stream, e.seq, encode(e.hash, 'hex') as hash
       from unnest($1::text[], $2::text[]) as u(tenant, stream)
       left join lateral (select seq, hash from journal.entries where tenant = u.tenant and stream = u.stream order by seq desc limit 1) e on true`,
      [wanted.map((request) => request.tenant), wanted.map((request) => request.stream)],
    )
    for (const row of rows) ends.set(keyOf(row), row.seq === null ? EMPTY : { seq: row.seq, hash: row.hash })
    return ends
  }

  async function commit(batch: readonly Pending[], attempt: number): Promise<void> {
    const ends = await readEnds(batch, attempt)
    const at = new Date().toISOString()
    const accepted: { pending: Pending; entries: JournalEntry[] }[] = []
    for (const pending of batch) {
      const entries = chain(pending, ends, at)
      if (entries) accepted.push({ pending, entries })
    }
    if (accepted.length === 0) return
    const all = accepted.flatMap(({ entries }) => entries)
    const payloads = accepted.flatMap(({ pending }) => pending.payloads)
    try {
      const { rows } = await platform.query<[string]>({ ...INSERT, rowMode: 'array', values: columns(all, payloads) })
      for (const [index, [position]] of rows.entries()) (all[index] as JournalEntry).position = position
    } catch (error) {
      // Whether it was committed may be unknown (a cut connection), so the ends must be read again.
      for (const key of ends.keys()) heads.delete(key)
      if ((error as { code?: string }).code !== UNIQUE_VIOLATION || attempt === MAX_ATTEMPTS) throw error
      // Another process appended to one of the streams. Each request is tried alone, so that only the one that lost hears of it.
      for (const { pending } of accepted) await commit([pending], attempt + 1)
      return
    }
    for (const [key, head] of ends) heads.set(key, head)
    for (const { pending, entries } of accepted) pending.resolve(entries)
    onCommitted()
  }

  /** Links the entries to the ends of their streams and moves these, or rejects all when a stream is not where the writer believes it is. */
  function chain({ requests, payloads, reject }: Pending, ends: Map<string, Head>, now: string): JournalEntry[] | undefined {
    const entries: JournalEntry[] = []
    const moved: [string, Head][] = []
    for (const request of requests) {
      const { tenant, stream, expectedSeq } = request
      const key = keyOf(request)
      let head = moved.findLast(([other]) => other === key)?.[1] ?? (ends.get(key) as Head)
      if (expectedSeq !== 'any' && expectedSeq !== head.seq) {
        reject(streamConflict(request, head.seq))
        return undefined
      }
      for (const { kind, payload, at: given } of request.entries) {
        // As it will be read back: the hash is over the text.
        const at = given === undefined ? now : new Date(given).toISOString()
        const { text, salt } = payloads[entries.length] as SealedPayload
        const digest = contentDigest(text, salt)
        const entry = { position: '', tenant, stream, seq: head.seq + 1, kind, at, payload, digest, prevHash: head.hash, hash: '' }
        entry.hash = entryHash(entry)
        entries.push(entry)
        head = entry
      }
      moved.push([key, { seq: head.seq, hash: head.hash }])
    }
    for (const [key, head] of moved) ends.set(key, head)
    return entries
  }

  return {
    append,
    /** Waits until everything that was handed in is on disk or refused. */
    async close(): Promise<void> {
      closed = true
      while (busy) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

function columns(entries: readonly JournalEntry[], payloads: readonly SealedPayload[]): Buffer[] {
  return [
    textArray(entries.map((entry) => entry.tenant)),
    textArray(entries.map((entry) => entry.stream)),
    integerArray(entries.map((entry) => entry.seq)),
    textArray(entries.map((entry) => entry.kind)),
    timestampArray(entries.map((entry) => entry.at)),
    jsonArray(payloads.map(({ text }) => text)),
    uuidArray(payloads.map(({ salt }) => salt)),
    digestArray(entries.map((entry) => entry.digest)),
    digestArray(entries.map((entry) => entry.prevHash)),
    digestArray(entries.map((entry) => entry.hash)),
  ]
}

/** What would make the INSERT fail, and with it the whole group, is refused before. */
function assertLinkable({ tenant, stream, entries }: AppendRequest): void {
  for (const { kind, at } of entries) {
    if (/[\n\r\0]/.test(tenant + stream + kind)) {
      throw new SomaError(
        'invalid_input',
        `Tenant, stream and kind of a journal entry hold no line breaks and no NUL: ${JSON.stringify([tenant, stream, kind])}.`,
      )
    }
    if (tenant.length + stream.length > LONGEST_NAME) {
      throw new SomaError(
        'invalid_input',
        `Tenant and stream of a journal entry have ${LONGEST_NAME} characters at the most, not ${tenant.length + stream.length}: ${stream.slice(0, 100)}…`,
      )
    }
    if (at !== undefined && Number.isNaN(Date.parse(at))) {
      throw new SomaError('invalid_input', `The time of a journal entry is written as ISO 8601, not ${JSON.stringify(at)}.`)
    }
  }
}

const keyOf = (request: { tenant: string; stream: string }) => `${request.tenant}\n${request.stream}`

function streamConflict(request: AppendRequest, found: number): SomaError {
  return new SomaError(
    'stream_conflict',
    `Stream ${request.stream} is at ${found}, not at ${request.expectedSeq}: another writer owns it.`,
    { stream: request.stream, expected: request.expectedSeq, found },
  )
}

function asAuditError(error: unknown): SomaError {
  if (error instanceof SomaError) return error
  const cause = error as { code?: string; message?: string }
  if (cause.code === '53100')
    return new SomaError(
      'disk_full',
      'The journal could not be written: the database has no space left. Free some space; nothing that was confirmed is lost.',
      {},
      { cause },
    )
  return new SomaError('audit_unavailable', `The journal could not be written: ${cause.message ?? cause}`, {}, { cause })
}
