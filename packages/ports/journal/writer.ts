import { SomaError } from '@soma/contracts/errors'
import { entryHash, GENESIS, type JournalEntry, sha256 } from '@soma/contracts/journal'
import { LRUCache } from 'lru-cache'
import type pg from 'pg'
import { payloadText } from './payload.ts'
import type { AppendRequest } from './port.ts'

/** Entries in one INSERT at the most; more wait for the next. */
const MAX_BATCH = 4000
const UNIQUE_VIOLATION = '23505'
/** How often an append to a stream that several processes write to is tried. */
const MAX_ATTEMPTS = 10

interface Head {
  seq: number
  hash: string
}

interface Pending {
  requests: readonly AppendRequest[]
  /** Per request, per entry: the payload as JSON text. */
  payloads: string[][]
  resolve(entries: JournalEntry[]): void
  reject(error: unknown): void
}

const INSERT = {
  name: 'journal-append',
  text: `insert into journal.entries (tenant, stream, seq, kind, at, payload, digest, prev_hash, hash)
    select t, s, q, k, a, p::json, decode(d, 'hex'), decode(v, 'hex'), decode(h, 'hex')
    from unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[]) as e(t, s, q, k, a, p, d, v, h)
    returning position`,
}

/**
 * The writer that commits in groups: while one INSERT is under way, appends gather, and the next INSERT takes them all. An idle
 * writer starts at once, so a lone append waits for nobody.
 */
export function createWriter(pool: pg.Pool, onCommitted: () => void) {
  const heads = new LRUCache<string, Head>({ max: 100_000 })
  let waiting: Pending[] = []
  let busy = false
  let closed = false

  function append(...requests: readonly AppendRequest[]): Promise<JournalEntry[]> {
    if (closed) return Promise.reject(new SomaError('shutting_down', 'The journal is closed.'))
    const payloads = requests.map((request) => {
      assertLinkable(request)
      return request.entries.map((entry) => payloadText(entry.kind, entry.payload))
    })
    return new Promise((resolve, reject) => {
      waiting.push({ requests, payloads, resolve, reject })
      if (!busy) void drain()
    })
  }

  async function drain(): Promise<void> {
    busy = true
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
      const size = pending.payloads.reduce((sum, texts) => sum + texts.length, 0)
      if (count > 0 && entries + size > MAX_BATCH) break
      entries += size
      count++
    }
    const batch = waiting.slice(0, count)
    waiting = waiting.slice(count)
    return batch
  }

  /** At the first attempt a stream that is expected to be empty needs no look-up: the unique index refuses the entry if it is not. */
  async function loadHeads(batch: readonly Pending[], attempt: number): Promise<void> {
    const unknown = new Map<string, AppendRequest>()
    for (const { requests } of batch) {
      for (const request of requests) {
        const key = keyOf(request)
        if (heads.has(key) || unknown.has(key)) continue
        if (request.expectedSeq === 0 && attempt === 1) heads.set(key, { seq: 0, hash: GENESIS })
        else unknown.set(key, request)
      }
    }
    if (unknown.size === 0) return
    const wanted = [...unknown.values()]
    const { rows } = await pool.query(
      `select u.tenant, u.stream, e.seq, encode(e.hash, 'hex') as hash
       from unnest($1::text[], $2::text[]) as u(tenant, stream)
       left join lateral (select seq, hash from journal.entries where tenant = u.tenant and stream = u.stream order by seq desc limit 1) e on true`,
      [wanted.map((request) => request.tenant), wanted.map((request) => request.stream)],
    )
    for (const row of rows) heads.set(keyOf(row), { seq: row.seq ?? 0, hash: row.hash ?? GENESIS })
  }

  async function commit(batch: readonly Pending[], attempt: number): Promise<void> {
    await loadHeads(batch, attempt)
    const accepted: { pending: Pending; entries: JournalEntry[] }[] = []
    const touched = new Map<string, Head>()
    for (const pending of batch) {
      const entries = chain(pending, touched)
      if (entries) accepted.push({ pending, entries })
    }
    if (accepted.length === 0) return
    const all = accepted.flatMap(({ entries }) => entries)
    try {
      const { rows } = await pool.query({ ...INSERT, values: columns(all) })
      rows.forEach((row, index) => {
        ;(all[index] as JournalEntry).position = row.position
      })
    } catch (error) {
      // Whether it was committed may be unknown (a cut connection), so the heads must be read again.
      for (const key of touched.keys()) heads.delete(key)
      if ((error as { code?: string }).code !== UNIQUE_VIOLATION || attempt === MAX_ATTEMPTS) throw error
      // Another process appended to one of the streams. Each request is tried alone, so that only the one that lost hears of it.
      for (const { pending } of accepted) await commit([pending], attempt + 1)
      return
    }
    for (const [key, head] of touched) heads.set(key, head)
    for (const { pending, entries } of accepted) pending.resolve(entries)
    onCommitted()
  }

  /** Links the request's entries to their streams, or rejects it when a stream is not where the writer believes it is. */
  function chain(pending: Pending, touched: Map<string, Head>): JournalEntry[] | undefined {
    const own = new Map<string, Head>()
    const entries: JournalEntry[] = []
    for (const [index, request] of pending.requests.entries()) {
      const key = keyOf(request)
      let head = own.get(key) ?? touched.get(key) ?? (heads.get(key) as Head)
      if (request.expectedSeq !== 'any' && request.expectedSeq !== head.seq) {
        pending.reject(streamConflict(request, head.seq))
        return undefined
      }
      for (const [place, entry] of request.entries.entries()) {
        const text = pending.payloads[index]?.[place] as string
        const linked = {
          tenant: request.tenant,
          stream: request.stream,
          seq: head.seq + 1,
          kind: entry.kind,
          at: entry.at ?? new Date().toISOString(),
          digest: sha256(text),
          prevHash: head.hash,
        }
        const hash = entryHash(linked)
        entries.push({ ...linked, hash, position: '', payload: entry.payload })
        texts.set(entries.at(-1) as JournalEntry, text)
        head = { seq: linked.seq, hash }
      }
      own.set(key, head)
    }
    for (const [key, head] of own) touched.set(key, head)
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

/** Payload texts of entries under way, so that an entry is serialised once for its digest and its row. */
const texts = new WeakMap<JournalEntry, string>()

function columns(entries: readonly JournalEntry[]): unknown[] {
  return [
    entries.map((entry) => entry.tenant),
    entries.map((entry) => entry.stream),
    entries.map((entry) => entry.seq),
    entries.map((entry) => entry.kind),
    entries.map((entry) => entry.at),
    entries.map((entry) => texts.get(entry)),
    entries.map((entry) => entry.digest),
    entries.map((entry) => entry.prevHash),
    entries.map((entry) => entry.hash),
  ]
}

function assertLinkable(request: AppendRequest): void {
  for (const entry of request.entries) {
    if (/[\n\r]/.test(request.tenant + request.stream + entry.kind)) {
      throw new SomaError(
        'invalid_input',
        `Tenant, stream and kind of a journal entry hold no line breaks: ${JSON.stringify(request.stream)}.`,
      )
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
