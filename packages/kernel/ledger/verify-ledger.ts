import { entryHash, GENESIS, type JournalEntry, sha256 } from '@soma/contracts/journal'
import { type Checkpoint, checkpointDigest, entryLeaf, isSignedBy } from './checkpoint.ts'
import { type LedgerHeader, LedgerLine, type LedgerProof } from './ledger-line.ts'
import { createMerkleRoot, rootFromProof } from './merkle.ts'

export interface LedgerProblem {
  /** What is wrong, with the place. */
  message: string
  position?: string
  stream?: string
  seq?: number
}

export interface LedgerVerdict {
  ok: boolean
  tenant: string
  entries: number
  streams: number
  checkpoints: number
  /** Entries that a signed checkpoint covers. Of those after them it is known that they fit together, not that none is missing. */
  covered: number
  /** Hash of the last entry. */
  head?: string
  problems: LedgerProblem[]
}

/** Problems that are listed; one change can break everything after it. */
const MOST_PROBLEMS = 100

type Place = Pick<JournalEntry, 'position' | 'stream' | 'seq'>
type Report = (message: string, place?: Place) => void

/** Looks at the lines that say which of the entries are signed. */
interface Coverage {
  entry(entry: JournalEntry): void
  checkpoint(checkpoint: Checkpoint): void
  proof(proof: LedgerProof): void
  /** At the end: how many entries are covered. */
  count(): number
}

/**
 * Checks an export of the ledger offline, line by line: each entry's content against its digest, each link of each stream, each
 * checkpoint's signature and what it says it covers. Finds whatever was changed, removed, reordered or inserted among the entries that
 * the export's newest checkpoint covers, and says where. That there is a newer checkpoint than that, only its ledger can tell.
 * @param trustedKeys public keys (PEM) that checkpoints must be signed with; without them the export's own keys are taken, which proves
 *   that nothing was changed since the export, not who made it
 */
export async function verifyLedger(
  lines: AsyncIterable<unknown> | Iterable<unknown>,
  trustedKeys?: readonly string[],
): Promise<LedgerVerdict> {
  const problems: LedgerProblem[] = []
  const report: Report = (message, place) => {
    if (problems.length < MOST_PROBLEMS) problems.push({ message, ...place })
  }
  const streams = new Map<string, { seq: number; hash: string }>()
  const seen = { lines: 0, entries: 0, checkpoints: 0 }
  let header: LedgerHeader | undefined
  let coverage: Coverage | undefined
  let head: string | undefined

  const isTrusted = (checkpoint: Checkpoint) => {
    const keys = trustedKeys ?? header?.keys.map((key) => key.publicKey) ?? []
    return checkpoint.tenant === header?.tenant && keys.some((key) => isSignedBy(checkpoint, key))
  }

  for await (const text of lines) {
    seen.lines++
    const { data: line } = LedgerLine.safeParse(text)
    if (!line) {
      report(`Line ${seen.lines} is no line of a ledger.`)
    } else if ('ledger' in line) {
      if (seen.lines > 1) report(`Line ${seen.lines} is a second header.`)
      else {
        header = line
        coverage = line.scope === 'all' ? coverAll(line, report) : coverStreams(line, report)
        if (line.checkpoint && !isTrusted(line.checkpoint)) report('The checkpoint in the header is not signed by a trusted key.')
      }
    } else if ('entry' in line) {
      const { entry } = line
      seen.entries++
      head = entry.hash
      if (entry.tenant !== header?.tenant) report(`Entry ${entry.seq} of ${entry.stream} belongs to another tenant.`, placeOf(entry))
      checkEntry(entry, streams, report)
      coverage?.entry(entry)
    } else if ('checkpoint' in line) {
      const { checkpoint } = line
      seen.checkpoints++
      if (isTrusted(checkpoint)) coverage?.checkpoint(checkpoint)
      else report(`The checkpoint through position ${checkpoint.through} is not signed by a trusted key.`)
    } else coverage?.proof(line.proof)
  }

  if (!header) report('The first line is not the header of a ledger.')
  const covered = coverage?.count() ?? 0
  return {
    ok: problems.length === 0,
    tenant: header?.tenant ?? '',
    entries: seen.entries,
    streams: streams.size,
    checkpoints: seen.checkpoints,
    covered,
    ...(head === undefined ? {} : { head }),
    problems,
  }
}

function checkEntry(entry: JournalEntry, streams: Map<string, { seq: number; hash: string }>, report: Report): void {
  const { stream, seq, prevHash } = entry
  const last = streams.get(stream) ?? { seq: 0, hash: GENESIS }
  // JSON has no undefined: an entry without content is one whose content was taken away.
  if (sha256(JSON.stringify(entry.payload) ?? '') !== entry.digest)
    report(`The content of entry ${seq} of ${stream} was changed: it does not have the digest that was recorded.`, placeOf(entry))
  if (entryHash(entry) !== entry.hash) report(`Entry ${seq} of ${stream} was changed: its fields do not give its hash.`, placeOf(entry))
  if (seq !== last.seq + 1) {
    const what = seq <= last.seq ? 'was inserted or moved' : `is missing ${seq - last.seq - 1} entries before it`
    report(`Entry ${seq} of ${stream} ${what}: the one before it is number ${last.seq}.`, placeOf(entry))
  } else if (prevHash !== last.hash)
    report(`Entry ${seq} of ${stream} does not follow the entry before it: one of them was replaced.`, placeOf(entry))
  streams.set(stream, { seq, hash: entry.hash })
}

/** In a whole export every checkpoint must cover exactly the entries since the one before, and the newest must be reached. */
function coverAll(header: LedgerHeader, report: Report): Coverage {
  const tree = createMerkleRoot()
  let last = 0n
  let previous: Checkpoint | undefined
  let covered = 0
  return {
    entry(entry) {
      const position = BigInt(entry.position)
      if (position <= last) report(`Position ${position} comes after ${last}: entries were reordered.`, placeOf(entry))
      last = position
      tree.add(entryLeaf(entry))
    },
    checkpoint(checkpoint) {
      const { after, through } = checkpoint
      const count = tree.count()
      if (checkpoint.previous !== (previous ? checkpointDigest(previous) : GENESIS) || after !== (previous?.through ?? '0'))
        report(`The checkpoint through position ${through} does not follow the one before it: a checkpoint is missing or was replaced.`)
      if (count !== checkpoint.count)
        report(
          `Between positions ${after} and ${through} there are ${count} entries; the signed checkpoint counts ${checkpoint.count}. Entries were removed or inserted.`,
        )
      else if (tree.root() !== checkpoint.root)
        report(
          `The entries between positions ${after} and ${through} are not those that the checkpoint was signed over, or not in their order.`,
        )
      else covered += count
      tree.clear()
      previous = checkpoint
    },
    proof: ({ stream }) => report(`There is a proof of ${stream}, but a whole export has none.`),
    count() {
      const newest = header.checkpoint
      if (newest && (!previous || checkpointDigest(previous) !== checkpointDigest(newest)))
        report(`The export ends before position ${newest.through}, through which the ledger is signed: its end was cut off.`)
      return covered
    },
  }
}

/** In an export of streams the newest signed entry of each must be proved to be in the ledger; the chain proves those before it. */
function coverStreams(header: LedgerHeader, report: Report): Coverage {
  const through = BigInt(header.checkpoint?.through ?? 0)
  const unproved = new Map<string, { seq: number; position: bigint; leaf: string }>()
  const roots = new Map<string, string>()
  let covered = 0
  return {
    entry(entry) {
      const position = BigInt(entry.position)
      const last = unproved.get(entry.stream)
      if (last && position <= last.position)
        report(`Position ${entry.position} comes after ${last.position}: entries were reordered.`, placeOf(entry))
      if (position <= through) unproved.set(entry.stream, { seq: entry.seq, position, leaf: entryLeaf(entry) })
    },
    checkpoint(checkpoint) {
      roots.set(checkpoint.through, checkpoint.root)
    },
    proof({ stream, seq, through, index, path }) {
      const last = unproved.get(stream)
      const root = roots.get(through)
      if (last?.seq !== seq || root === undefined || rootFromProof(last.leaf, index, path) !== root) {
        report(`The proof that ${stream} is in the ledger up to entry ${seq} does not hold.`, { position: through, stream, seq })
        return
      }
      covered += seq
      unproved.delete(stream)
    },
    count() {
      for (const [stream, { seq }] of unproved)
        report(`There is no proof that ${stream} is in the ledger up to entry ${seq}: its end was cut off, or entries were put in.`)
      return covered
    },
  }
}

function placeOf({ position, stream, seq }: Place): Place {
  return { position, stream, seq }
}
