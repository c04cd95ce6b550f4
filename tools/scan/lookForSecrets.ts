import type { OperationContext } from '@soma/contracts/operation'
import { git } from '../frame/git.ts'
import { compareSeverity, compareText } from './finding.ts'
import { type HistoryBlob, historyBlobs } from './historyBlobs.ts'
import { isTestPath } from './isTestPath.ts'
import { type FoundSecret, findSecrets } from './secretRules.ts'
import type { SecretFinding, SecretsInput, SecretsReport } from './secretsReport.ts'
import { contentsOf, isBinary, openTree, type ScannedTree } from './tree.ts'

const SKIPPED_PATH = /(^|\/)go\.sum$/

/** Looks at the whole tree, then at history until `limitSeconds` are over. @throws what `openTree` does */
export async function lookForSecrets(input: SecretsInput, { signal, progress }: OperationContext<unknown>): Promise<SecretsReport> {
  const started = performance.now()
  const tree = await openTree(input, signal)
  const scan = emptyScan()
  await scanTree(tree, input.maxBytes, scan)
  const withHistory = input.history && tree.commit !== null
  if (withHistory) {
    scan.commits.total = await countCommits(tree)
    const deadline = started + input.limitSeconds * 1_000
    scan.stopped = await scanHistory(tree, input.maxBytes, scan, deadline, (covered) =>
      progress(`${covered} of ${scan.commits.total} commits`, Math.min(1, covered / Math.max(1, scan.commits.total))),
    )
  }
  const findings = await describe(tree, scan)
  return {
    commit: tree.commit,
    findings: findings.slice(0, input.limit),
    truncated: findings.length > input.limit,
    totals: {
      secrets: findings.length,
      atHead: findings.filter(({ atHead }) => atHead).length,
      onlyInHistory: findings.filter(({ atHead }) => !atHead).length,
    },
    coverage: coverageOf(tree, scan, input.history, (performance.now() - started) / 1_000),
  }
}

/** One secret, by its digest, and where it was met. */
interface Known extends FoundSecret {
  path: string
  atHead: boolean
  firstCommit: string | null
  places: Set<string>
}

interface Scan {
  known: Map<string, Known>
  /** Blobs of the tree that hold secrets: history tells when they came in. */
  found: Map<string, FoundSecret[]>
  /** Blobs of the tree, which history need not look at again. */
  seen: Set<string>
  commits: { total: number; covered: number }
  blobs: number
  scanned: number
  suspicious: number
  bytes: number
  skipped: { binary: number; tooLarge: number; missing: number; byPath: number }
  stopped: boolean
}

function emptyScan(): Scan {
  return {
    known: new Map(),
    found: new Map(),
    seen: new Set(),
    commits: { total: 0, covered: 0 },
    blobs: 0,
    scanned: 0,
    suspicious: 0,
    bytes: 0,
    skipped: { binary: 0, tooLarge: 0, missing: 0, byPath: 0 },
    stopped: false,
  }
}

async function scanTree(tree: ScannedTree, maxBytes: number, scan: Scan): Promise<void> {
  for await (const { file, blob } of contentsOf(tree, tree.files, maxBytes)) {
    if (scan.seen.has(file.oid)) {
      for (const secret of scan.found.get(file.oid) ?? []) note(scan, secret, { path: file.path, oid: file.oid, commit: null }, true)
      continue
    }
    scan.seen.add(file.oid)
    scan.blobs++
    if (SKIPPED_PATH.test(file.path)) scan.skipped.byPath++
    else if (blob.kind === 'too_large') scan.skipped.tooLarge++
    else if (blob.kind === 'missing') scan.skipped.missing++
    else {
      const secrets = await look(scan, blob.content, file.path)
      if (secrets.length > 0) scan.found.set(file.oid, secrets)
      for (const secret of secrets) note(scan, secret, { path: file.path, oid: file.oid, commit: null }, true)
    }
  }
}

/** @returns true when the time was over before the end */
async function scanHistory(
  tree: ScannedTree,
  maxBytes: number,
  scan: Scan,
  deadline: number,
  covered: (commits: number) => void,
): Promise<boolean> {
  const wanted = (blob: HistoryBlob) => {
    if (scan.seen.has(blob.oid)) {
      for (const secret of scan.found.get(blob.oid) ?? []) note(scan, secret, blob, true)
      return false
    }
    scan.blobs++
    if (SKIPPED_PATH.test(blob.path)) scan.skipped.byPath++
    else if (blob.size > maxBytes) scan.skipped.tooLarge++
    else return true
    return false
  }
  let read = 0
  for await (const { blob, content, commits } of historyBlobs(tree, { maxBytes, wanted })) {
    scan.commits.covered = commits
    if (content === undefined) scan.skipped.missing++
    else for (const secret of await look(scan, content, blob.path)) note(scan, secret, blob, false)
    if (++read % 5_000 === 0) covered(commits)
    if (performance.now() > deadline) return true
  }
  scan.commits.covered = scan.commits.total
  return false
}

async function look(scan: Scan, content: Buffer, path: string): Promise<FoundSecret[]> {
  if (isBinary(content)) {
    scan.skipped.binary++
    return []
  }
  scan.scanned++
  scan.bytes += content.length
  const secrets = await findSecrets(content, path)
  if (secrets === undefined) return []
  scan.suspicious++
  return secrets
}

function note(scan: Scan, secret: FoundSecret, where: { path: string; oid: string; commit: string | null }, atHead: boolean): void {
  const place = `${where.oid} ${where.path}`
  const known = scan.known.get(secret.fingerprint)
  if (!known) {
    scan.known.set(secret.fingerprint, { ...secret, path: where.path, atHead, firstCommit: where.commit, places: new Set([place]) })
    return
  }
  known.places.add(place)
  known.firstCommit ??= where.commit
}

async function countCommits(tree: ScannedTree): Promise<number> {
  const { stdout } = await git(tree.repository, ['rev-list', '--count', '--all', tree.commit ?? 'HEAD'])
  return Number(stdout.toString('latin1'))
}

async function describe(tree: ScannedTree, scan: Scan): Promise<SecretFinding[]> {
  const times = await timesOf(
    tree,
    [...scan.known.values()].flatMap(({ firstCommit }) => firstCommit ?? []),
  )
  const findings = [...scan.known.values()].map(({ places, ...known }): SecretFinding => {
    const severity = isTestPath(known.path) ? 'medium' : known.atHead ? 'critical' : 'high'
    const firstAt = known.firstCommit === null ? null : (times.get(known.firstCommit) ?? null)
    return { ...known, severity, firstAt, places: places.size }
  })
  return findings.sort(
    (a, b) =>
      compareSeverity(a.severity, b.severity) ||
      compareText(a.path, b.path) ||
      a.line - b.line ||
      compareText(a.fingerprint, b.fingerprint),
  )
}

async function timesOf(tree: ScannedTree, commits: string[]): Promise<Map<string, string>> {
  if (commits.length === 0) return new Map()
  const input = `${[...new Set(commits)].join('\n')}\n`
  const { stdout } = await git(tree.repository, ['log', '--no-walk=unsorted', '--stdin', '--format=%H %cI'], { input })
  const lines = stdout.toString('latin1').trimEnd().split('\n')
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)]))
}

function coverageOf(tree: ScannedTree, scan: Scan, history: boolean, seconds: number): SecretsReport['coverage'] {
  const { commits, blobs, scanned, suspicious, bytes, skipped } = scan
  return {
    history,
    complete: !scan.stopped,
    shallow: tree.repository.shallow,
    stoppedBy: scan.stopped ? 'limitSeconds' : 'end',
    commits,
    blobs,
    scanned,
    suspicious,
    bytes,
    skipped,
    seconds: rounded(seconds),
    megabytesPerSecond: rounded(bytes / 1_000_000 / Math.max(seconds, 0.001)),
  }
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}
