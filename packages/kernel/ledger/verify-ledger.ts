import { entryHash, GENESIS, type JournalEntry, sha256 } from '@soma/contracts/journal'
import { type Checkpoint, checkpointDigest, isSignedBy } from './checkpoint.ts'
import type { LedgerLine } from './ledger.ts'
import { merkleRoot, rootFromProof } from './merkle.ts'

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
  /** Entries that a signed checkpoint covers. */
  covered: number
  /** Hash of the last entry. */
  head?: string
  problems: LedgerProblem[]
}

/** Problems that are listed; one change can break everything after it. */
const MOST_PROBLEMS = 100

/**
 * Checks an export of the ledger offline: each entry's content against its digest, each link of each stream, each checkpoint's
 * signature and what it says it covers. Finds whatever was changed, removed, reordered or inserted, and says where.
 * @param trustedKeys public keys (PEM) that checkpoints must be signed with; without them the export's own keys are taken, which proves
 *   that nothing was changed since the export, not who made it
 */
export async function verifyLedger(
  lines: AsyncIterable<LedgerLine> | Iterable<LedgerLine>,
  trustedKeys?: readonly string[],
): Promise<LedgerVerdict> {
  const problems: LedgerProblem[] = []
  const report = (message: string, entry?: Pick<JournalEntry, 'position' | 'stream' | 'seq'>) => {
    if (problems.length < MOST_PROBLEMS)
      problems.push({ message, ...(entry ? { position: entry.position, stream: entry.stream, seq: entry.seq } : {}) })
  }
  const heads = new Map<string, { seq: number; hash: string }>()
  const hashes: { position: bigint; hash: string }[] = []
  const byPlace = new Map<string, string>()
  const checkpoints: Checkpoint[] = []
  const covered = new Set<string>()
  let keys: readonly string[] = trustedKeys ?? []
  let tenant = ''
  let scope = 'all'
  let count = 0

  for await (const line of lines) {
    if ('ledger' in line) {
      tenant = line.tenant
      scope = line.scope
      if (!trustedKeys) keys = line.keys.map((key) => key.publicKey)
    } else if ('entry' in line) {
      count++
      checkEntry(line.entry, heads, report)
      hashes.push({ position: BigInt(line.entry.position), hash: line.entry.hash })
      if (scope === 'streams') byPlace.set(`${line.entry.stream}\n${line.entry.seq}`, line.entry.hash)
    } else if ('checkpoint' in line) {
      checkSignature(line.checkpoint, keys, report)
      checkpoints.push(line.checkpoint)
    } else {
      const { stream, seq, index, path, through } = line.proof
      const hash = byPlace.get(`${stream}\n${seq}`)
      const checkpoint = checkpoints.find((each) => each.through === through)
      if (hash && checkpoint && rootFromProof(hash, index, path) === checkpoint.root) covered.add(stream)
      else report(`The proof that ${stream} is in the ledger up to entry ${seq} does not hold.`, { position: through, stream, seq })
    }
  }

  let coveredCount = 0
  if (scope === 'all') coveredCount = checkCoverage(hashes, checkpoints, report)
  else {
    for (const [stream, head] of heads) {
      if (covered.has(stream)) coveredCount += head.seq
      else if (checkpoints.length > 0)
        report(`No checkpoint covers the end of ${stream}: entries may have been cut off, or it is newer than the last checkpoint.`)
    }
  }
  return {
    ok: problems.length === 0,
    tenant,
    entries: count,
    streams: heads.size,
    checkpoints: checkpoints.length,
    covered: coveredCount,
    ...(hashes.length > 0 ? { head: hashes.at(-1)?.hash } : {}),
    problems,
  }
}

type Report = (message: string, entry?: Pick<JournalEntry, 'position' | 'stream' | 'seq'>) => void

function checkEntry(entry: JournalEntry, heads: Map<string, { seq: number; hash: string }>, report: Report): void {
  const head = heads.get(entry.stream) ?? { seq: 0, hash: GENESIS }
  if (sha256(JSON.stringify(entry.payload)) !== entry.digest)
    report(`The content of entry ${entry.seq} of ${entry.stream} was changed: it does not have the digest that was recorded.`, entry)
  if (entryHash(entry) !== entry.hash) report(`Entry ${entry.seq} of ${entry.stream} was changed: its fields do not give its hash.`, entry)
  if (entry.seq !== head.seq + 1) {
    const what = entry.seq <= head.seq ? 'was inserted or moved' : `is missing ${entry.seq - head.seq - 1} entries before it`
    report(`Entry ${entry.seq} of ${entry.stream} ${what}: the one before it is number ${head.seq}.`, entry)
  } else if (entry.prevHash !== head.hash)
    report(`Entry ${entry.seq} of ${entry.stream} does not follow the entry before it: one of them was replaced.`, entry)
  heads.set(entry.stream, { seq: entry.seq, hash: entry.hash })
}

function checkSignature(checkpoint: Checkpoint, keys: readonly string[], report: Report): void {
  if (!keys.some((key) => isSignedBy(checkpoint, key)))
    report(`The checkpoint through position ${checkpoint.through} is not signed by a trusted key.`)
}

/** In a whole export every checkpoint must cover exactly the entries that are there. Returns how many are covered. */
function checkCoverage(hashes: readonly { position: bigint; hash: string }[], checkpoints: readonly Checkpoint[], report: Report): number {
  let index = 0
  let previous: Checkpoint | undefined
  for (const checkpoint of checkpoints) {
    const expected = previous ? checkpointDigest(previous) : GENESIS
    if (checkpoint.previous !== expected || checkpoint.after !== (previous?.through ?? '0'))
      report(
        `The checkpoint through position ${checkpoint.through} does not follow the one before it: a checkpoint is missing or was replaced.`,
      )
    const through = BigInt(checkpoint.through)
    const start = index
    while (index < hashes.length && (hashes[index] as { position: bigint }).position <= through) index++
    const own = hashes.slice(start, index).map(({ hash }) => hash)
    if (own.length !== checkpoint.count)
      report(
        `Between positions ${checkpoint.after} and ${checkpoint.through} there are ${own.length} entries; the signed checkpoint counts ${checkpoint.count}. Entries were removed or inserted.`,
      )
    else if (merkleRoot(own) !== checkpoint.root)
      report(
        `The entries between positions ${checkpoint.after} and ${checkpoint.through} are not those that the checkpoint was signed over, or not in their order.`,
      )
    previous = checkpoint
  }
  for (let place = 1; place < hashes.length; place++) {
    if ((hashes[place] as { position: bigint }).position <= (hashes[place - 1] as { position: bigint }).position)
      report(`Position ${hashes[place]?.position} comes after ${hashes[place - 1]?.position}: entries were reordered.`)
  }
  return index
}
