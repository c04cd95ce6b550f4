import { SomaError } from '@soma/contracts/errors'
import type { Journal, StoredEntry } from '@soma/ports/journal/port'
import type { Objects } from '@soma/ports/objects/port'
import type { Sql } from '@soma/ports/sql/port'
import { isEnd } from '@soma/ports/workflows/execution/record'
import { isOwnKind, REDACTED_KIND, redactionsOf, type Tombstone } from './redaction-record.ts'
import { coveringHold, type Retention } from './retention.ts'

export interface RedactionRequest {
  tenant: string
  stream: string
  seqs: readonly number[]
  reason: string
  by: string
}

export interface Redaction {
  stream: string
  /** Entries whose content this redaction took away; those that had none any more are not among them. */
  seqs: number[]
  /** Digests of the objects that went with it. */
  objects: string[]
}

/** Why content is taken away, and who says so. */
export type RedactionCause = Pick<Tombstone, 'cause' | 'reason' | 'by'>

export interface Redactions {
  /**
   * Takes the content of entries away, for good, and puts on record who did and why. The chain still holds.
   * @throws `not_found`; `conflict` for the ledger's own entries, for those of a run that is not over, for those under a legal hold, and
   *   for those of this very moment
   */
  redact(request: RedactionRequest): Promise<Redaction>
  /** The same for entries that were found fit already, of one or several streams. */
  takeAway(tenant: string, entries: readonly StoredEntry[], cause: RedactionCause): Promise<Redaction[]>
  /** Whether nothing needs the content of a stream to go on: it belongs to no run, or to one that is over. */
  isOver(tenant: string, stream: string): Promise<boolean>
}

const OBJECT_DIGEST = /sha256:[0-9a-f]{64}/g

export function createRedactions({
  journal,
  objects,
  sql,
  retention,
}: {
  journal: Journal
  objects: Pick<Objects, 'stat' | 'delete'>
  sql: Sql
  retention: Retention
}): Redactions {
  async function isOver(tenant: string, stream: string): Promise<boolean> {
    const run = runOf(stream)
    if (run === undefined) return true
    const last = await journal.readLast(tenant, run)
    return last === undefined || isEnd(last)
  }

  async function find({ tenant, stream, seqs }: RedactionRequest): Promise<StoredEntry[]> {
    const found: StoredEntry[] = []
    for (const seq of new Set(seqs)) {
      const [known] = await journal.read(tenant, stream, { afterSeq: seq - 1, limit: 1 })
      if (known?.seq !== seq) throw new SomaError('not_found', `There is no entry ${seq} of ${stream}.`, { stream, seq })
      if (isOwnKind(known.kind))
        throw new SomaError('conflict', `Entry ${seq} of ${stream} is the ledger's own (${known.kind}); verification needs it.`, {
          stream,
          seq,
        })
      if (known.redacted) continue
      const after = (BigInt(known.position) - 1n).toString()
      const [entry] = await journal.stored({ tenant, after, through: known.position, stream })
      if (!entry)
        throw new SomaError('conflict', `Entry ${seq} of ${stream} was appended only now. Try again in a moment.`, {
          stream,
          seq,
          retryable: true,
        })
      found.push(entry)
    }
    return found
  }

  /** Objects that the entries name and no other entry of the tenant does. */
  async function objectsOf(tenant: string, entries: readonly StoredEntry[]): Promise<Set<string>> {
    const named = new Set(namedBy(entries))
    for (const digest of named) if (!(await objects.stat(tenant, digest))) named.delete(digest)
    if (named.size === 0) return named
    const { rows } = await sql.tenant(tenant).query<{ digest: string }>(
      `select distinct found[1] as digest
       from journal.entries e cross join lateral regexp_matches(e.payload::text, 'sha256:[0-9a-f]{64}', 'g') as found
       where e.payload is not null and e.kind <> $1 and found[1] = any($2)
         and not exists (select from unnest($3::text[], $4::int[]) as going(stream, seq) where going.stream = e.stream and going.seq = e.seq)`,
      [REDACTED_KIND, [...named], entries.map(({ stream }) => stream), entries.map(({ seq }) => seq)],
    )
    for (const { digest } of rows) named.delete(digest)
    return named
  }

  async function takeAway(tenant: string, entries: readonly StoredEntry[], cause: RedactionCause): Promise<Redaction[]> {
    if (entries.length === 0) return []
    const unnamed = await objectsOf(tenant, entries)
    const redactions = [...new Set(entries.map(({ stream }) => stream))].map((stream) => {
      const ofStream = entries.filter((entry) => entry.stream === stream)
      return { stream, seqs: ofStream.map(({ seq }) => seq), objects: namedBy(ofStream).filter((digest) => unnamed.has(digest)) }
    })
    // The record comes first and the content goes last: whatever a crash leaves undone is done again by the next redaction of the same.
    await journal.append(
      ...redactions.map(({ stream, ...what }) => ({
        tenant,
        stream: redactionsOf(stream),
        expectedSeq: 'any' as const,
        entries: [{ kind: REDACTED_KIND, payload: { ...what, ...cause } satisfies Tombstone }],
      })),
    )
    for (const digest of unnamed) await objects.delete(tenant, digest)
    for (const { stream, seqs } of redactions) await journal.redact(tenant, stream, seqs)
    return redactions
  }

  return {
    takeAway,
    isOver,
    async redact(request) {
      const { tenant, stream, reason, by } = request
      const entries = await find(request)
      const hold = coveringHold(await retention.holds(tenant), stream)
      if (hold)
        throw new SomaError('conflict', `${stream} is under legal hold ${hold.id} (${hold.reason}); lift that first.`, {
          stream,
          hold: hold.id,
        })
      if (!(await isOver(tenant, stream)))
        throw new SomaError('conflict', `The run that ${stream} belongs to is not over; its content is still needed. Cancel it first.`, {
          stream,
        })
      const [redaction] = await takeAway(tenant, entries, { cause: 'request', reason, by })
      return redaction ?? { stream, seqs: [], objects: [] }
    },
  }
}

/** The run's own stream, for that one, those of its actions and that of its labels. */
function runOf(stream: string): string | undefined {
  const [, own, labelled] = /^(?:action\/)?(run\/[^#]+)|^labels\/(.+)/.exec(stream) ?? []
  return own ?? (labelled && `run/${labelled}`)
}

function namedBy(entries: readonly StoredEntry[]): string[] {
  return [...new Set(entries.flatMap(({ text }) => text?.match(OBJECT_DIGEST) ?? []))]
}
