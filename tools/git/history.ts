import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { git, type Repository, streamGit } from '../frame/git.ts'
import { recordsOf } from '../frame/records.ts'

export interface FileChange {
  /** 0 for a binary file. */
  additions: number
  deletions: number
  rawPath: Buffer
}

export interface HistoryCommit {
  oid: string
  /** Seconds since 1970, when it was written. */
  at: number
  /** Minutes east of Greenwich where it was written. */
  zone: number
  name: string
  email: string
  files: FileChange[]
}

export const HistoryLimits = {
  since: z.iso.datetime({ offset: true }).optional().describe('Look at commits from this time on'),
  maxCommits: z.number().int().min(1).max(1_000_000).default(200_000).describe('Look at the newest so many commits at most'),
}

/** What a reader must know to judge numbers taken from history. */
export const HistoryCoverage = z.object({
  commits: z.number().int().describe('Commits that were looked at'),
  truncated: z.boolean().describe('There are older commits than `maxCommits` allowed'),
  shallow: z.boolean().describe('The clone holds only the end of the history; what came before is not counted'),
})

export interface HistoryRange {
  since?: string
  maxCommits: number
}

/**
 * The commits that HEAD leads to, newest first, each with the lines it changed in each file, some hundred at a time. A merge has no
 * files of its own. At the edge of a shallow clone a commit seems to add every file there is; those files are left out.
 */
export async function* readHistory(repository: Repository, range: HistoryRange): AsyncGenerator<HistoryCommit[], void, void> {
  if (repository.head === undefined) return
  const edge = await shallowEdge(repository)
  const format = '--format=%x01%H%x1f%ad%x1f%aE%x1f%aN'
  const args = ['log', '-z', '--numstat', '--no-renames', '--no-ext-diff', '--no-textconv', '--date=raw', format, ...rangeArguments(range)]
  let open: HistoryCommit | undefined
  for await (const records of recordsOf(streamGit(repository, [...args, repository.head, '--']))) {
    const commits: HistoryCommit[] = []
    for (const record of records) {
      if (record[0] === 1) {
        if (open) commits.push(open)
        open = commitOf(record)
      } else if (open && !edge.has(open.oid)) {
        const change = changeOf(record)
        if (change) open.files.push(change)
      }
    }
    yield commits
  }
  if (open) yield [open]
}

/** The range as arguments of `git log`. */
export function rangeArguments(range: HistoryRange): string[] {
  return [`--max-count=${range.maxCommits}`, ...(range.since === undefined ? [] : [`--since=${range.since}`])]
}

/** Says how much of the history `commits` looked-at commits are. */
export async function coverage(repository: Repository, range: HistoryRange, commits: number): Promise<z.infer<typeof HistoryCoverage>> {
  const truncated = commits === range.maxCommits && (await countCommits(repository, range.since)) > commits
  return { commits, truncated, shallow: repository.shallow }
}

/** Commits that HEAD leads to. */
export async function countCommits(repository: Repository, since?: string): Promise<number> {
  if (repository.head === undefined) return 0
  const from = since === undefined ? [] : [`--since=${since}`]
  const result = await git(repository, ['rev-list', '--count', ...from, repository.head, '--'])
  return Number(result.stdout.toString('latin1'))
}

/** One person, whatever names they wrote under: the address decides, the name only where there is none. */
export function personKey(person: { name: string; email: string }): string {
  return person.email.toLowerCase() || person.name
}

/** Ids of the commits at which a shallow clone was cut off. */
export async function shallowEdge(repository: Repository): Promise<Set<string>> {
  if (!repository.shallow) return new Set()
  const path = await git(repository, ['rev-parse', '--path-format=absolute', '--git-path', 'shallow'])
  return new Set((await readFile(path.stdout.toString('utf8').trimEnd(), 'latin1')).split('\n'))
}

// Dates in commits are what their writers claim. Outside of years 1970 to 9999 no calendar function takes them.
const LAST_SECOND = 253_402_300_799

function commitOf(record: Buffer): HistoryCommit {
  const [oid = '', date = '', email = '', name = ''] = record.toString('utf8', 1).split('\x1f')
  const [seconds, zone = '+0000'] = date.split(' ')
  const minutes = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3, 5))
  return {
    oid,
    at: Math.min(Math.max(Number(seconds) || 0, 0), LAST_SECOND),
    zone: Math.min(minutes || 0, 24 * 60) * (zone.startsWith('-') ? -1 : 1),
    name,
    email,
    files: [],
  }
}

const NEWLINE = 10
const TAB = 9

function changeOf(record: Buffer): FileChange | undefined {
  const from = record[0] === NEWLINE ? 1 : 0
  const second = record.indexOf(TAB, from)
  const third = record.indexOf(TAB, second + 1)
  if (second === -1 || third === -1) return undefined
  return {
    additions: Number(record.toString('latin1', from, second)) || 0,
    deletions: Number(record.toString('latin1', second + 1, third)) || 0,
    rawPath: record.subarray(third + 1),
  }
}
