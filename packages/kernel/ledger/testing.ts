import { contentDigest, entryHash, GENESIS } from '@soma/contracts/journal'
import type { Journal, StoredEntry } from '@soma/ports/journal/port'
import type { SigningKey } from '../keys/keys.ts'
import { CHECKPOINTS, type Checkpoint, checkpointDigest, entryLeaf, isLater, signCheckpoint } from './checkpoint.ts'
import type { Ledger } from './ledger.ts'
import { type LedgerLine, writeLine } from './ledger-line.ts'
import { createMerkleRoot } from './merkle.ts'
import { REDACTED_KIND, redactionsOf, type Tombstone } from './redaction-record.ts'

/** One in so many entries is a redaction of an earlier one. */
const REDACTED_EVERY = 101

/** A whole ledger as an export of it reads, made in memory. `covered`: entries that one checkpoint covers. */
export function makeLedger({
  tenant = 'acme',
  entries,
  streams,
  covered,
  key,
}: {
  tenant?: string
  entries: number
  streams: number
  covered: number
  key: SigningKey
}): LedgerLine[] {
  const lines: LedgerLine[] = [{ ledger: 'soma/v1', tenant, scope: 'all', keys: [{ id: key.id, publicKey: key.publicKey }] }]
  const heads = new Map<string, StoredEntry>()
  const tree = createMerkleRoot()
  let previous: Checkpoint | undefined

  function append(position: number, stream: string, kind: string, payload: unknown): void {
    const head = heads.get(stream)
    const text = JSON.stringify(payload)
    const salt = saltOf(position)
    const at = new Date(1_760_000_000_000 + position * 7).toISOString()
    const linked = {
      tenant,
      stream,
      seq: (head?.seq ?? 0) + 1,
      kind,
      at,
      digest: contentDigest(text, salt),
      prevHash: head?.hash ?? GENESIS,
    }
    const entry: StoredEntry = { position: String(position), ...linked, hash: entryHash(linked), salt, text }
    heads.set(stream, entry)
    lines.push({ entry })
    tree.add(entryLeaf(entry))
  }

  function sign(position: number): void {
    const after = previous?.through ?? '0'
    const before = previous ? checkpointDigest(previous) : GENESIS
    const at = new Date(1_760_000_000_000 + position * 7).toISOString()
    previous = signCheckpoint(
      { tenant, after, through: String(position), count: tree.count(), root: tree.root(), previous: before, at },
      key,
    )
    lines.push({ checkpoint: previous })
    tree.clear()
  }

  for (let count = 1; count <= entries; count++) {
    // Other tenants' entries lie between.
    const position = count * 3
    const stream = `run/${count % streams}`
    const head = heads.get(stream)
    if (count % REDACTED_EVERY === 0 && head) {
      const tombstone: Tombstone = { seqs: [head.seq], cause: 'request', reason: 'asked for', by: 'user:ada', objects: [] }
      delete head.text
      delete head.salt
      append(position, redactionsOf(stream), REDACTED_KIND, tombstone)
    } else
      append(position, stream, 'step.completed', {
        step: count,
        name: 'git.log',
        input: { path: 'src' },
        output: { text: 'x'.repeat(180) },
      })
    if (count % covered === 0 || count === entries) sign(position)
  }
  lines.push({ end: { through: (previous as Checkpoint | undefined)?.through ?? '0' } })
  return lines
}

/** Of the form of a salt, and the same at every run. */
function saltOf(position: number): string {
  return `00000000-0000-4000-8000-${position.toString(16).padStart(12, '0')}`
}

/** As a file holds them. */
export function written(lines: readonly LedgerLine[]): string[] {
  return lines.map(writeLine)
}

/** Signs until everything that was appended is covered: it is settled once no older transaction runs, and those of other tests are short. */
export async function checkpointOfAll(journal: Journal, ledger: Ledger, tenant: string): Promise<Checkpoint> {
  const entries = await journal.tail({ after: '0', tenant, includeUnsettled: true, limit: 1_000_000 })
  const last = entries.findLast(({ stream }) => stream !== CHECKPOINTS)?.position ?? '0'
  for (;;) {
    const checkpoint = await ledger.checkpoint(tenant)
    if (checkpoint && !isLater(last, checkpoint.through)) return checkpoint
  }
}
