import { GENESIS } from '@soma/contracts/journal'
import type { StoredEntry } from '@soma/ports/journal/port'
import { type Checkpoint, checkpointDigest, entryLeaf, isLater } from './checkpoint.ts'
import type { LedgerHeader, LedgerProof } from './ledger-line.ts'
import { placeOf, type Report } from './ledger-problem.ts'
import { createMerkleRoot, rootFromProof } from './merkle.ts'

/** Holds entries against what is signed: in the end nothing may be left that no signature covers. */
export interface Coverage {
  entry(entry: StoredEntry, line: number): void
  /** One whose signature is right. */
  checkpoint(checkpoint: Checkpoint, line: number): void
  proof(proof: LedgerProof): void
  finish(): void
}

/** In a range every checkpoint must cover exactly the entries since the one before, and none may be missing between them. */
export function coverRange(header: LedgerHeader, known: Checkpoint | undefined, report: Report): Coverage {
  const tree = createMerkleRoot()
  let last = header.after?.through ?? '0'
  let previous = header.after
  let fromLine = 2
  let isKnownFound = false

  function compareWithKnown(checkpoint: Checkpoint): void {
    if (checkpoint.through !== known?.through) return
    isKnownFound = true
    if (checkpointDigest(checkpoint) !== checkpointDigest(known))
      report(
        'other_history',
        `Through position ${checkpoint.through} another checkpoint was signed than the one you know: the history was rewritten.`,
        { position: checkpoint.through },
      )
  }
  if (previous) compareWithKnown(previous)

  return {
    entry(entry) {
      if (!isLater(entry.position, last))
        report('reordered', `Position ${entry.position} comes after ${last}: entries were reordered.`, placeOf(entry))
      last = entry.position
      tree.add(entryLeaf(entry))
    },
    checkpoint(checkpoint, line) {
      const { after, through } = checkpoint
      const place = { position: through, fromLine }
      const count = tree.count()
      if (checkpoint.previous !== (previous ? checkpointDigest(previous) : GENESIS) || after !== (previous?.through ?? '0'))
        report(
          'checkpoint_missing',
          `The checkpoint through position ${through} does not follow the one before it: a checkpoint is missing or was replaced.`,
          place,
        )
      if (count !== checkpoint.count)
        report(
          'not_what_was_signed',
          `Between positions ${after} and ${through} there are ${count} entries; the signed checkpoint counts ${checkpoint.count}. Entries were removed or inserted.`,
          place,
        )
      else if (tree.root() !== checkpoint.root)
        report(
          'not_what_was_signed',
          `The entries between positions ${after} and ${through} are not those that the checkpoint was signed over, or not in their order.`,
          place,
        )
      compareWithKnown(checkpoint)
      tree.clear()
      previous = checkpoint
      fromLine = line
    },
    proof: ({ stream }) => report('not_a_ledger', `There is a proof of ${stream}, but a whole export has none.`),
    finish() {
      if (tree.count() > 0)
        report('not_signed', `No checkpoint covers the last ${tree.count()} entries, after position ${previous?.through ?? '0'}.`, {
          fromLine,
        })
      if (known && !isKnownFound) reportUnknown(known, header, previous, report)
    },
  }
}

function reportUnknown(known: Checkpoint, header: LedgerHeader, last: Checkpoint | undefined, report: Report): void {
  const { through } = known
  if (isLater(through, last?.through ?? '0'))
    report(
      'cut_off',
      `The export ends at position ${last?.through ?? '0'}, before the checkpoint through ${through} that you know: its end was cut off, or it is older.`,
      {
        position: through,
      },
    )
  else if (header.after && !isLater(through, header.after.through))
    report(
      'other_history',
      `The export begins after position ${header.after.through}; the checkpoint through ${through} that you know is not in it. Export from there.`,
      {
        position: through,
      },
    )
  else
    report(
      'other_history',
      `The checkpoint through ${through} that you know is not in the export: the history was rewritten, or it is another ledger.`,
      {
        position: through,
      },
    )
}

/**
 * Entries without the rest of the ledger must be proved to be in it. Of a whole stream the last one is enough, as the chain proves those
 * before it.
 */
export function coverParts(scope: 'streams' | 'entries', known: Checkpoint | undefined, report: Report): Coverage {
  const unproved = new Map<string, { stream: string; seq: number; position: string; leaf: string; line: number }>()
  const roots = new Map<string, string>()
  const keyOf = ({ stream, seq }: { stream: string; seq: number }) => (scope === 'streams' ? stream : `${stream}\n${seq}`)
  return {
    entry(entry, line) {
      const key = keyOf(entry)
      const last = unproved.get(key)
      if (last && !isLater(entry.position, last.position))
        report('reordered', `Position ${entry.position} comes after ${last.position}: entries were reordered.`, placeOf(entry))
      unproved.set(key, { ...placeOf(entry), leaf: entryLeaf(entry), line })
    },
    checkpoint(checkpoint) {
      roots.set(checkpoint.through, checkpoint.root)
      if (checkpoint.through === known?.through && checkpointDigest(checkpoint) !== checkpointDigest(known))
        report('other_history', `Through position ${checkpoint.through} another checkpoint was signed than the one you know.`, {
          position: checkpoint.through,
        })
    },
    proof(proof) {
      const { stream, seq, through, index, path } = proof
      const key = keyOf(proof)
      const last = unproved.get(key)
      const root = roots.get(through)
      if (last?.seq !== seq || root === undefined || rootFromProof(last.leaf, index, path) !== root)
        report('proof_wrong', `The proof that entry ${seq} of ${stream} is in the ledger does not hold.`, {
          position: through,
          stream,
          seq,
        })
      else unproved.delete(key)
    },
    finish() {
      for (const { stream, seq, position, line } of unproved.values())
        report(
          'not_signed',
          `There is no proof that entry ${seq} of ${stream} is in the ledger${scope === 'streams' ? ': the end of the stream was cut off, or entries were put in' : ''}.`,
          { stream, seq, position, fromLine: line },
        )
    },
  }
}
