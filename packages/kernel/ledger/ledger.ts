import { SomaError } from '@soma/contracts/errors'
import { GENESIS, type JournalEntry } from '@soma/contracts/journal'
import type { Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import type { SigningKey } from '../keys/keys.ts'
import { CHECKPOINT_KIND, type Checkpoint, checkpointDigest, entryLeaf, signCheckpoint } from './checkpoint.ts'
import type { LedgerHeader, LedgerLine } from './ledger-line.ts'
import { createMerkleRoot, inclusionProofs, type MerklePath } from './merkle.ts'

const STREAM = 'ledger'
const PAGE = 5000
/** Entries that one checkpoint covers at the most, so that a proof never needs more of them in memory. */
const MOST_COVERED = 100_000

export interface LedgerHead {
  position: string
  hash: string
  checkpoint?: Checkpoint
}

export interface Ledger {
  /** Signs what was appended since the last checkpoint, and gives the newest. Undefined when nothing was ever appended, or nothing is settled yet. */
  checkpoint(tenant: string): Promise<Checkpoint | undefined>
  head(tenant: string): Promise<LedgerHead | undefined>
  /** A tenant's whole ledger, verifiable offline. */
  exportAll(tenant: string): AsyncGenerator<LedgerLine>
  /** Some streams, with proofs that their newest signed entries are in the ledger. Verifiable offline without the rest. */
  exportStreams(tenant: string, streams: readonly string[]): AsyncGenerator<LedgerLine>
}

/** The journal read as an audit ledger. */
export function createLedger({
  journal,
  sql,
  key,
  mostCovered = MOST_COVERED,
}: {
  journal: Journal
  sql: Sql
  key: SigningKey
  mostCovered?: number
}): Ledger {
  async function lastCheckpoint(tenant: string): Promise<{ seq: number; checkpoint?: Checkpoint }> {
    const { rows } = await sql.pool.query(
      'select seq, payload from journal.entries where tenant = $1 and stream = $2 order by seq desc limit 1',
      [tenant, STREAM],
    )
    return rows[0] ? { seq: rows[0].seq, checkpoint: rows[0].payload } : { seq: 0 }
  }

  async function* entriesAfter(tenant: string, after: string, through?: string): AsyncGenerator<JournalEntry> {
    for (let position = after; ; ) {
      const page = await journal.tail({ after: position, tenant, limit: PAGE })
      for (const entry of page) {
        if (through !== undefined && isLater(entry.position, through)) return
        yield entry
      }
      const last = page.at(-1)
      if (!last) return
      position = last.position
    }
  }

  /** @throws `stream_conflict` when another process signed in the meantime */
  async function signNext(tenant: string): Promise<{ checkpoint: Checkpoint | undefined; isNewest: boolean }> {
    const { seq, checkpoint: previous } = await lastCheckpoint(tenant)
    const after = previous?.through ?? '0'
    const tree = createMerkleRoot()
    let through = after
    let hasNews = false
    let isNewest = true
    for await (const entry of entriesAfter(tenant, after)) {
      tree.add(entryLeaf(entry))
      through = entry.position
      // The last checkpoint itself is no news: signing that would never end.
      hasNews ||= entry.stream !== STREAM
      isNewest = !hasNews || tree.count() < mostCovered
      if (!isNewest) break
    }
    if (!hasNews) return { checkpoint: previous, isNewest: true }
    const checkpoint = signCheckpoint(
      {
        tenant,
        after,
        through,
        count: tree.count(),
        root: tree.root(),
        previous: previous ? checkpointDigest(previous) : GENESIS,
        at: new Date().toISOString(),
      },
      key,
    )
    await journal.append({ tenant, stream: STREAM, expectedSeq: seq, entries: [{ kind: CHECKPOINT_KIND, payload: checkpoint }] })
    return { checkpoint, isNewest }
  }

  async function checkpointsOf(tenant: string): Promise<Checkpoint[]> {
    return (await journal.read(tenant, STREAM)).map((entry) => entry.payload as Checkpoint)
  }

  const header = (tenant: string, scope: LedgerHeader['scope'], checkpoint: Checkpoint | undefined): LedgerHeader => ({
    ledger: 'soma/v1',
    tenant,
    scope,
    keys: [{ id: key.id, publicKey: key.publicKey }],
    ...(checkpoint ? { checkpoint } : {}),
    exportedAt: new Date().toISOString(),
  })

  async function* proofsOf(tenant: string, checkpoint: Checkpoint, entries: readonly JournalEntry[]): AsyncGenerator<LedgerLine> {
    const leaves: string[] = []
    for await (const entry of entriesAfter(tenant, checkpoint.after, checkpoint.through)) leaves.push(entryLeaf(entry))
    const places = new Map(leaves.map((leaf, index) => [leaf, index]))
    const indexes = entries.map((entry) => places.get(entryLeaf(entry)) ?? -1)
    const paths = inclusionProofs(leaves, indexes)
    for (const [place, { stream, seq }] of entries.entries()) {
      yield { proof: { stream, seq, through: checkpoint.through, index: indexes[place] as number, path: paths[place] as MerklePath } }
    }
  }

  return {
    async checkpoint(tenant) {
      for (;;) {
        try {
          const { checkpoint, isNewest } = await signNext(tenant)
          if (isNewest) return checkpoint
        } catch (error) {
          if (!SomaError.is(error, 'stream_conflict')) throw error
        }
      }
    },
    async head(tenant) {
      const { rows } = await sql.pool.query(
        `select position, encode(hash, 'hex') as hash from journal.entries where tenant = $1 order by position desc limit 1`,
        [tenant],
      )
      if (!rows[0]) return undefined
      const { checkpoint } = await lastCheckpoint(tenant)
      return { position: rows[0].position, hash: rows[0].hash, ...(checkpoint ? { checkpoint } : {}) }
    },
    async *exportAll(tenant) {
      // Before the entries: a checkpoint signed meanwhile would cover some that are not in the export any more.
      const checkpoints = await checkpointsOf(tenant)
      const end = await journal.lastPosition()
      yield header(tenant, 'all', checkpoints.at(-1))
      let next = checkpoints.shift()
      for await (const entry of entriesAfter(tenant, '0', end)) {
        for (; next && isLater(entry.position, next.through); next = checkpoints.shift()) yield { checkpoint: next }
        yield { entry }
      }
      for (; next; next = checkpoints.shift()) yield { checkpoint: next }
    },
    async *exportStreams(tenant, streams) {
      const checkpoints = await checkpointsOf(tenant)
      const newest = checkpoints.at(-1)
      yield header(tenant, 'streams', newest)
      /** Of each stream the newest entry that is signed. */
      const signed: JournalEntry[] = []
      for (const stream of new Set(streams)) {
        const entries = await journal.read(tenant, stream)
        for (const entry of entries) yield { entry }
        const last = newest && entries.findLast((entry) => !isLater(entry.position, newest.through))
        if (last) signed.push(last)
      }
      for (const checkpoint of checkpoints) {
        const { after, through } = checkpoint
        const covered = signed.filter(({ position }) => isLater(position, after) && !isLater(position, through))
        if (covered.length === 0) continue
        yield { checkpoint }
        yield* proofsOf(tenant, checkpoint, covered)
      }
    },
  }
}

function isLater(position: string, than: string): boolean {
  return BigInt(position) > BigInt(than)
}
