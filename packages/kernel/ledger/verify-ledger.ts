import { createEntryChecks, type EntryChecks } from './check-entries.ts'
import { type Checkpoint, trustKeys } from './checkpoint.ts'
import { type Coverage, coverParts, coverRange } from './coverage.ts'
import { type LedgerEnd, type LedgerHeader, readLine } from './ledger-line.ts'
import type { LedgerProblem, Report } from './ledger-problem.ts'

export interface LedgerVerdict {
  ok: boolean
  tenant: string
  scope: LedgerHeader['scope']
  entries: number
  streams: number
  checkpoints: number
  /** Entries whose content was taken away, as an entry of its own says. */
  redacted: number
  /** Entries whose content this export leaves out because of a filter. */
  withheld: number
  /**
   * The newest checkpoint in the export. Nothing is missing before it; whether the ledger goes on after it, no export can tell by
   * itself. Whoever knows a newer one can.
   */
  through?: Pick<Checkpoint, 'through' | 'at' | 'keyId'>
  /** Where the export begins, when it does not hold the ledger from its beginning. */
  after?: Pick<Checkpoint, 'through' | 'at'>
  /** Hash of the last entry. */
  head?: string
  problems: LedgerProblem[]
}

/** What the one who verifies knows from elsewhere. */
export interface LedgerTrust {
  /** Public keys (PEM) that checkpoints must be signed with. Without them the export's own are taken: then nothing was changed since the export, but anybody may have made it. */
  keys?: readonly string[]
  /** A checkpoint seen before: a whole export must hold it, so it can neither be cut off before it nor be another history, signed by whomever. */
  known?: Checkpoint
}

/** One change can break everything after it: nothing is gained by reading on. */
const MOST_PROBLEMS = 100

/**
 * Checks an export of the ledger offline, line by line: each entry's content against its digest, each link of each stream, each
 * checkpoint's signature and what it says it covers. Finds whatever was changed, removed, reordered or inserted, and says where. Every entry
 * must be covered by a signature.
 * @param mostProblems after so many it reads no further
 */
export async function verifyLedger(
  lines: AsyncIterable<string> | Iterable<string>,
  trust: LedgerTrust = {},
  mostProblems = MOST_PROBLEMS,
): Promise<LedgerVerdict> {
  const problems: LedgerProblem[] = []
  let line = 0
  const report: Report = (kind, message, { fromLine, position, stream, seq } = {}) => {
    problems.push({ kind, message, line, fromLine, position, stream, seq })
  }
  let verification: Verification | undefined
  for await (const text of lines) {
    line++
    if (line === 1) verification = begin(text, trust, report)
    else verification?.line(text, line)
    if (!verification || problems.length >= mostProblems) break
  }
  if (!verification) report('not_a_ledger', 'The first line is not the header of a ledger.')
  const isReadThrough = problems.length < mostProblems
  const { header, seen, ...found } = verification?.finish(isReadThrough) ?? NOTHING
  return { ok: problems.length === 0, tenant: header.tenant, scope: header.scope, ...seen, ...found, problems }
}

const NOTHING: ReturnType<Verification['finish']> = {
  header: { tenant: '', scope: 'all' },
  seen: { entries: 0, streams: 0, redacted: 0, withheld: 0 },
  checkpoints: 0,
}

interface Verification {
  line(text: string, line: number): void
  /** @param isReadThrough whether all lines were looked at; only then something can be missing */
  finish(isReadThrough: boolean): {
    header: Pick<LedgerHeader, 'tenant' | 'scope'>
    seen: ReturnType<EntryChecks['seen']>
    checkpoints: number
    through?: LedgerVerdict['through']
    after?: LedgerVerdict['after']
  }
}

/** @returns undefined when the line is not the first of a ledger */
function begin(text: string, trust: LedgerTrust, report: Report): Verification | undefined {
  const header = readLine(text)
  if (!header || !('ledger' in header)) return undefined
  const trusted = trustKeys(trust.keys ?? header.keys.map((key) => key.publicKey))
  const entries = createEntryChecks(header, report)
  const coverage: Coverage =
    header.scope === 'all' ? coverRange(header, trust.known, report) : coverParts(header.scope, trust.known, report)
  let checkpoints = 0
  let end: LedgerEnd | undefined
  let newest = header.after
  let endsAt = header.after?.through ?? '0'

  function isTrusted(checkpoint: Checkpoint): boolean {
    const isOurs = checkpoint.tenant === (header as LedgerHeader).tenant && trusted.hasSigned(checkpoint)
    if (!isOurs)
      report('wrong_signature', `The checkpoint through position ${checkpoint.through} is not signed by a trusted key.`, {
        position: checkpoint.through,
      })
    return isOurs
  }
  if (header.after) isTrusted(header.after)

  function lookForMissing(): void {
    entries.finish()
    coverage.finish()
    if (!end) report('cut_off', 'The last line is missing: the export was cut off, or is not finished.')
    else if (end.through !== endsAt)
      report('cut_off', `The last line says that the export ends at position ${end.through}; it ends at ${endsAt}.`)
  }

  return {
    line(text, number) {
      const line = readLine(text)
      if (!line) report('not_a_ledger', `Line ${number} is no line of a ledger.`)
      else if (end) report('not_a_ledger', `Line ${number} stands behind the end.`)
      else if ('ledger' in line) report('not_a_ledger', `Line ${number} is a second header.`)
      else if ('end' in line) end = line.end
      else if ('proof' in line) coverage.proof(line.proof)
      else if ('entry' in line) {
        entries.check(line.entry, number)
        coverage.entry(line.entry, number)
      } else {
        checkpoints++
        endsAt = line.checkpoint.through
        if (!isTrusted(line.checkpoint)) return
        coverage.checkpoint(line.checkpoint, number)
        newest = line.checkpoint
      }
    },
    finish(isReadThrough) {
      if (isReadThrough) lookForMissing()
      const seen = entries.seen()
      const { after } = header
      return {
        header,
        seen,
        checkpoints,
        ...(newest ? { through: { through: newest.through, at: newest.at, keyId: newest.keyId } } : {}),
        ...(after ? { after: { through: after.through, at: after.at } } : {}),
      }
    },
  }
}
