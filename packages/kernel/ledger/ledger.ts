import { GENESIS, type JournalEntry } from '@soma/contracts/journal'
import type { Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import type { SigningKey } from '../keys/keys.ts'
import { CHECKPOINT_KIND, type Checkpoint, checkpointDigest, signCheckpoint } from './checkpoint.ts'
import { inclusionProofs, merkleRoot } from './merkle.ts'

const STREAM = 'ledger'
const PAGE = 5000

export interface LedgerHead {
  position: string
  hash: string
  checkpoint?: Checkpoint
}

/** A line of an export: the header first, then entries in their order, then what proves that they belong to the ledger. */
export type LedgerLine =
  | { ledger: 'soma/v1'; tenant: string; scope: 'all' | 'streams'; keys: { id: string; publicKey: string }[]; exportedAt: string }
  | { entry: JournalEntry }
  | { checkpoint: Checkpoint }
  | { proof: { stream: string; seq: number; through: string; index: number; path: (string | null)[] } }

export interface Ledger {
  /** Signs what was appended since the last checkpoint. Undefined when nothing was, or nothing is settled yet. */
  checkpoint(tenant: string): Promise<Checkpoint | undefined>
  head(tenant: string): Promise<LedgerHead | undefined>
  /** A tenant's whole ledger, verifiable offline. */
  exportAll(tenant: string): AsyncGenerator<LedgerLine>
  /** Some streams, with proofs that their ends are in the ledger. Verifiable offline without the rest. */
  exportStreams(tenant: string, streams: readonly string[]): AsyncGenerator<LedgerLine>
}

/** The journal read as an audit ledger. */
export function createLedger({ journal, sql, key }: { journal: Journal; sql: Sql; key: SigningKey }): Ledger {
  const signing = new Map<string, Promise<Checkpoint | undefined>>()

  async function lastCheckpoint(tenant: string): Promise<Checkpoint | undefined> {
    const { rows } = await sql.pool.query(
      'select payload from journal.entries where tenant = $1 and stream = $2 order by seq desc limit 1',
      [tenant, STREAM],
    )
    return rows[0]?.payload
  }

  async function* entriesAfter(tenant: string, after: string, through?: string): AsyncGenerator<JournalEntry> {
    for (let position = after; ; ) {
      const page = await journal.tail({ after: position, tenant, limit: PAGE })
      for (const entry of page) {
        if (through !== undefined && BigInt(entry.position) > BigInt(through)) return
        yield entry
      }
      const last = page.at(-1)
      if (!last) return
      position = last.position
    }
  }

  async function sign(tenant: string): Promise<Checkpoint | undefined> {
    const previous = await lastCheckpoint(tenant)
    const after = previous?.through ?? '0'
    const hashes: string[] = []
    let through = after
    for await (const entry of entriesAfter(tenant, after)) {
      hashes.push(entry.hash)
      through = entry.position
    }
    // The last checkpoint itself is the only news: signing it again would never end.
    if (hashes.length === 0 || (hashes.length === 1 && previous)) return previous
    const checkpoint = signCheckpoint(
      {
        tenant,
        after,
        through,
        count: hashes.length,
        root: merkleRoot(hashes),
        previous: previous ? checkpointDigest(previous) : GENESIS,
        at: new Date().toISOString(),
      },
      key,
    )
    await journal.append({ tenant, stream: STREAM, expectedSeq: 'any', entries: [{ kind: CHECKPOINT_KIND, payload: checkpoint }] })
    return checkpoint
  }

  async function checkpointsOf(tenant: string): Promise<Checkpoint[]> {
    return (await journal.read(tenant, STREAM)).map((entry) => entry.payload as Checkpoint)
  }

  const header = (tenant: string, scope: 'all' | 'streams'): LedgerLine => ({
    ledger: 'soma/v1',
    tenant,
    scope,
    keys: [{ id: key.id, publicKey: key.publicKey }],
    exportedAt: new Date().toISOString(),
  })

  return {
    checkpoint(tenant) {
      const turn = (signing.get(tenant) ?? Promise.resolve(undefined)).then(
        () => sign(tenant),
        () => sign(tenant),
      )
      signing.set(tenant, turn)
      return turn
    },
    async head(tenant) {
      const { rows } = await sql.pool.query(
        `select position, encode(hash, 'hex') as hash from journal.entries where tenant = $1 order by position desc limit 1`,
        [tenant],
      )
      if (!rows[0]) return undefined
      const checkpoint = await lastCheckpoint(tenant)
      return { position: rows[0].position, hash: rows[0].hash, ...(checkpoint ? { checkpoint } : {}) }
    },
    async *exportAll(tenant) {
      yield header(tenant, 'all')
      for await (const entry of entriesAfter(tenant, '0')) yield { entry }
      for (const checkpoint of await checkpointsOf(tenant)) yield { checkpoint }
    },
    async *exportStreams(tenant, streams) {
      yield header(tenant, 'streams')
      const heads: JournalEntry[] = []
      for (const stream of streams) {
        const entries = await journal.read(tenant, stream)
        for (const entry of entries) yield { entry }
        const head = entries.at(-1)
        if (head) heads.push(head)
      }
      for (const checkpoint of await checkpointsOf(tenant)) {
        const covered = heads.filter(
          (head) => BigInt(head.position) > BigInt(checkpoint.after) && BigInt(head.position) <= BigInt(checkpoint.through),
        )
        if (covered.length === 0) continue
        yield { checkpoint }
        const hashes: string[] = []
        for await (const entry of entriesAfter(tenant, checkpoint.after, checkpoint.through)) hashes.push(entry.hash)
        const indexes = covered.map((head) => hashes.indexOf(head.hash))
        const paths = inclusionProofs(hashes, indexes)
        for (const [place, head] of covered.entries()) {
          yield {
            proof: {
              stream: head.stream,
              seq: head.seq,
              through: checkpoint.through,
              index: indexes[place] as number,
              path: paths[place] as (string | null)[],
            },
          }
        }
      }
    },
  }
}
