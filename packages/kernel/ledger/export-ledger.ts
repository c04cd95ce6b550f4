import { SomaError } from '@soma/contracts/errors'
import type { Journal, StoredEntry } from '@soma/ports/journal/port'
import { type Checkpoint, entryLeaf, isLater } from './checkpoint.ts'
import type { Checkpoints, NumberedCheckpoint } from './checkpoints.ts'
import { type LedgerHeader, type LedgerLine, writeLine } from './ledger-line.ts'
import { inclusionProofs, type MerklePath } from './merkle.ts'
import { isKeptWhole, REDACTED_KIND, redactionsOf, type Tombstone } from './redaction-record.ts'
import { storedEntries } from './stored-entries.ts'

/** Which part of the ledger is wanted. It begins and ends at checkpoints, so a little more may come. */
export interface LedgerRange {
  /** Position of a checkpoint's end: what that one covers and what is before it is left out. To go on with an earlier export. */
  after?: string
  /** ISO 8601: every entry from then on. */
  since?: string
  /** ISO 8601: every entry until then. */
  until?: string
  /** Contents of entries of other kinds are left out; that they are there, and where, stays provable. */
  kinds?: readonly string[]
}

export interface LedgerExports {
  /** A tenant's ledger, or a range of it, line by line, verifiable offline. Ends at the newest checkpoint. */
  exportAll(tenant: string, range?: LedgerRange): AsyncGenerator<string>
  /** Some streams up to the newest checkpoint, with proofs that they are in the ledger. Verifiable offline without the rest. */
  exportStreams(tenant: string, streams: readonly string[]): AsyncGenerator<string>
  /**
   * One entry, with the proof that it is in the ledger.
   * @throws `not_found`; `conflict` while no checkpoint covers it
   */
  exportEntry(tenant: string, stream: string, seq: number): Promise<AsyncGenerator<string>>
}

export function createExports({
  journal,
  checkpoints,
  keys,
}: {
  journal: Journal
  checkpoints: Checkpoints
  keys: LedgerHeader['keys']
}): LedgerExports {
  const headerOf = (tenant: string, scope: LedgerHeader['scope']): LedgerHeader => ({ ledger: 'soma/v1', tenant, scope, keys: [...keys] })

  async function* wholeRange(tenant: string, { after = '0', since = '', until, kinds }: LedgerRange): AsyncGenerator<LedgerLine> {
    const end = ((await checkpoints.last(tenant))?.number ?? 0) + 1
    const first = await checkpoints.first(tenant, end, ({ through, at }) => isLater(through, after) && at >= since)
    const from = first?.number ?? end
    const before = await checkpoints.get(tenant, from - 1)
    yield { ...headerOf(tenant, 'all'), ...(kinds ? { kinds: [...kinds] } : {}), ...(before ? { after: before } : {}) }
    for await (const line of coveredBy(tenant, before?.through ?? '0', checkpoints.range(tenant, from, end - 1), until))
      yield 'entry' in line && kinds && !isKeptWhole(line.entry.kind, kinds) ? { entry: withoutContent(line.entry) } : line
  }

  /** What the checkpoints cover, each behind the last entry that it covers, until one after which only later entries come. */
  async function* coveredBy(
    tenant: string,
    after: string,
    covering: AsyncGenerator<Checkpoint>,
    until: string | undefined,
  ): AsyncGenerator<LedgerLine> {
    let next = await covering.next()
    let isCovered = true
    for await (const entry of storedEntries(journal, { tenant, after })) {
      if (next.done || (isCovered && until !== undefined && entry.at > until)) return
      yield { entry }
      isCovered = entry.position === next.value.through
      if (!isCovered) continue
      yield { checkpoint: next.value }
      next = await covering.next()
    }
  }

  async function* wholeStreams(tenant: string, streams: readonly string[]): AsyncGenerator<LedgerLine> {
    const newest = await checkpoints.last(tenant)
    yield headerOf(tenant, 'streams')
    if (!newest) return
    const ends: StoredEntry[] = []
    for (const stream of new Set(streams)) {
      for (const each of [stream, redactionsOf(stream)]) {
        let end: StoredEntry | undefined
        for await (const entry of storedEntries(journal, { tenant, after: '0', through: newest.checkpoint.through, stream: each })) {
          yield { entry }
          end = entry
        }
        if (end) ends.push(end)
      }
    }
    yield* proofsOf(tenant, newest, ends)
  }

  async function* provenEntries(tenant: string, newest: NumberedCheckpoint, entries: readonly StoredEntry[]): AsyncGenerator<LedgerLine> {
    yield headerOf(tenant, 'entries')
    for (const entry of entries) yield { entry }
    yield* proofsOf(tenant, newest, entries)
  }

  /** The checkpoints that cover the entries, each with the proofs of those that it covers. */
  async function* proofsOf(tenant: string, newest: NumberedCheckpoint, entries: readonly StoredEntry[]): AsyncGenerator<LedgerLine> {
    const covered = new Map<number, { checkpoint: Checkpoint; entries: StoredEntry[] }>()
    for (const entry of entries) {
      const found = await checkpoints.first(tenant, newest.number + 1, ({ through }) => !isLater(entry.position, through))
      if (!found) throw new SomaError('internal', `No checkpoint covers entry ${entry.seq} of ${entry.stream}.`)
      const group = covered.get(found.number) ?? { checkpoint: found.checkpoint, entries: [] }
      group.entries.push(entry)
      covered.set(found.number, group)
    }
    for (const [, { checkpoint, entries }] of [...covered].toSorted(([one], [other]) => one - other)) {
      yield { checkpoint }
      yield* proofsIn(tenant, checkpoint, entries)
    }
  }

  async function* proofsIn(tenant: string, { after, through }: Checkpoint, entries: readonly StoredEntry[]): AsyncGenerator<LedgerLine> {
    const leaves: string[] = []
    for await (const entry of storedEntries(journal, { tenant, after, through })) leaves.push(entryLeaf(entry))
    const places = new Map(leaves.map((leaf, index) => [leaf, index]))
    const indexes = entries.map((entry) => places.get(entryLeaf(entry)) ?? -1)
    const paths = inclusionProofs(leaves, indexes)
    for (const [place, { stream, seq }] of entries.entries())
      yield { proof: { stream, seq, through, index: indexes[place] as number, path: paths[place] as MerklePath } }
  }

  /** The entries of a stream's redactions that concern one of its entries. */
  async function redactionsFor(tenant: string, stream: string, seq: number, through: string): Promise<StoredEntry[]> {
    const found: StoredEntry[] = []
    for await (const entry of storedEntries(journal, { tenant, after: '0', through, stream: redactionsOf(stream) })) {
      if (entry.kind === REDACTED_KIND && (JSON.parse(entry.text as string) as Tombstone).seqs.includes(seq)) found.push(entry)
    }
    return found
  }

  return {
    exportAll: (tenant, range = {}) => written(wholeRange(tenant, range)),
    exportStreams: (tenant, streams) => written(wholeStreams(tenant, streams)),
    async exportEntry(tenant, stream, seq) {
      const newest = await checkpoints.last(tenant)
      const [known] = await journal.read(tenant, stream, { afterSeq: seq - 1, limit: 1 })
      if (known?.seq !== seq) throw new SomaError('not_found', `There is no entry ${seq} of ${stream}.`, { stream, seq })
      const { position } = known
      if (!newest || isLater(position, newest.checkpoint.through))
        throw new SomaError('conflict', `Entry ${seq} of ${stream} is not signed yet. Try again in a moment.`, {
          stream,
          seq,
          retryable: true,
        })
      const before = (BigInt(position) - 1n).toString()
      const [entry] = await journal.stored({ tenant, after: before, through: position, stream })
      const redactions = entry?.text === undefined ? await redactionsFor(tenant, stream, seq, newest.checkpoint.through) : []
      return written(provenEntries(tenant, newest, [entry as StoredEntry, ...redactions]))
    },
  }
}

function withoutContent({ text: _, salt: __, ...entry }: StoredEntry): StoredEntry {
  return entry
}

async function* written(lines: AsyncIterable<LedgerLine>): AsyncGenerator<string> {
  let through = '0'
  for await (const line of lines) {
    if ('ledger' in line) through = line.after?.through ?? through
    else if ('checkpoint' in line) through = line.checkpoint.through
    yield writeLine(line)
  }
  yield writeLine({ end: { through } })
}
