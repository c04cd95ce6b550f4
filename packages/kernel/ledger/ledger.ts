import { SomaError } from '@soma/contracts/errors'
import { GENESIS } from '@soma/contracts/journal'
import type { Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import type { SigningKey } from '../keys/keys.ts'
import { CHECKPOINT_KIND, CHECKPOINTS, type Checkpoint, checkpointDigest, entryLeaf, signCheckpoint } from './checkpoint.ts'
import { createCheckpoints } from './checkpoints.ts'
import { createExports, type LedgerExports } from './export-ledger.ts'
import { createMerkleRoot } from './merkle.ts'
import { storedEntries } from './stored-entries.ts'

/** Entries that one checkpoint covers at the most, so that a proof never needs more of them in memory. */
const MOST_COVERED = 100_000

export interface LedgerHead {
  position: string
  hash: string
  checkpoint?: Checkpoint
}

export interface Ledger extends LedgerExports {
  /** Signs what was appended since the last checkpoint, and gives the newest. Undefined when nothing was ever appended, or nothing is settled yet. */
  checkpoint(tenant: string): Promise<Checkpoint | undefined>
  /** Signs the ledgers of all tenants that something was appended to since the last call. */
  checkpointAll(): Promise<void>
  head(tenant: string): Promise<LedgerHead | undefined>
  /** The public keys that checkpoints are signed with. */
  keys: readonly { id: string; publicKey: string }[]
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
  const checkpoints = createCheckpoints(journal)
  const keys = [{ id: key.id, publicKey: key.publicKey }]
  let lookedThrough = '0'

  /** @throws `stream_conflict` when another process signed in the meantime */
  async function signNext(tenant: string): Promise<{ checkpoint: Checkpoint | undefined; isNewest: boolean }> {
    const last = await checkpoints.last(tenant)
    const previous = last?.checkpoint
    const after = previous?.through ?? '0'
    const tree = createMerkleRoot()
    let through = after
    let hasNews = false
    let isNewest = true
    for await (const entry of storedEntries(journal, { tenant, after })) {
      tree.add(entryLeaf(entry))
      through = entry.position
      // The last checkpoint itself is no news: signing that would never end.
      hasNews ||= entry.stream !== CHECKPOINTS
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
    const entries = [{ kind: CHECKPOINT_KIND, payload: checkpoint }]
    await journal.append({ tenant, stream: CHECKPOINTS, expectedSeq: last?.number ?? 0, entries })
    return { checkpoint, isNewest }
  }

  async function checkpoint(tenant: string): Promise<Checkpoint | undefined> {
    for (;;) {
      try {
        const { checkpoint, isNewest } = await signNext(tenant)
        if (isNewest) return checkpoint
      } catch (error) {
        if (!SomaError.is(error, 'stream_conflict')) throw error
      }
    }
  }

  return {
    ...createExports({ journal, checkpoints, keys }),
    keys,
    checkpoint,
    async checkpointAll() {
      const settled = await journal.lastPosition()
      const { rows } = await sql.platform.query<{ tenant: string }>(
        'select distinct tenant from journal.entries where position > $1 and position <= $2 and stream <> $3',
        [lookedThrough, settled, CHECKPOINTS],
      )
      for (const { tenant } of rows) await checkpoint(tenant)
      lookedThrough = settled
    },
    async head(tenant) {
      const { rows } = await sql
        .tenant(tenant)
        .query(`select position, encode(hash, 'hex') as hash from journal.entries where tenant = $1 order by position desc limit 1`, [
          tenant,
        ])
      if (!rows[0]) return undefined
      const last = await checkpoints.last(tenant)
      return { position: rows[0].position, hash: rows[0].hash, ...(last ? { checkpoint: last.checkpoint } : {}) }
    },
  }
}
