import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import { git, type Repository, streamGit } from '../frame/git.ts'
import { recordsOf } from '../frame/records.ts'

interface FileChange {
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

export type Coverage = z.infer<typeof HistoryCoverage>

/**
 * Visits the commits that HEAD leads to, in no order, each with the lines it changed in each file. A merge has no files of its own.
 * At the edge of a shallow clone a commit seems to add every file there is; those files are left out.
 */
export async function visitHistory(repository: Repository, range: HistoryRange, visit: (commit: HistoryCommit) => void): Promise<Coverage> {
  const edge = await shallowEdge(repository)
  return visitRecords(repository, range, ['--numstat', '--date=raw', '--format=%x01%H%x1f%ad%x1f%aE%x1f%aN'], () => {
    let open: HistoryCommit | undefined
    return (record) => {
      if (record !== undefined && record[0] !== 1) {
        const change = open && !edge.has(open.oid) ? changeOf(record) : undefined
        if (change) open?.files.push(change)
        return
      }
      if (open) visit(open)
      open = record && commitOf(record)
    }
  })
}

/**
 * Visits the path of every file that a commit changed, as bytes read as Latin-1. Only names are compared, no contents, so it costs a
 * fraction of `visitHistory`.
 */
export async function visitChangedPaths(repository: Repository, range: HistoryRange, visit: (path: string) => void): Promise<Coverage> {
  const edge = await shallowEdge(repository)
  return visitRecords(repository, range, ['--name-only', '--format=%x01%H'], () => {
    let isEdge = false
    return (record) => {
      const text = record?.toString('latin1') ?? '\x01'
      if (text.startsWith('\x01')) isEdge = edge.has(text.slice(1))
      else if (!isEdge) visit(text.startsWith('\n') ? text.slice(1) : text)
    }
  })
}

/** Takes the records of one git process in their order, and undefined at their end. A record that begins with \x01 is a commit. */
type Reader = (record: Buffer | undefined) => void

/** Most of the time goes into git's comparing, one core a process; so the history is cut into as many slices as there are cores. */
const SLICES = Math.min(availableParallelism(), 4)
/** Below it a second process costs more than it saves. */
const SMALLEST_SLICE = 500

async function visitRecords(repository: Repository, range: HistoryRange, args: string[], startReader: () => Reader): Promise<Coverage> {
  const { oids, truncated } = await commitsIn(repository, range)
  const size = Math.max(Math.ceil(oids.length / SLICES), SMALLEST_SLICE)
  const failed = new AbortController()
  const sliced = { ...repository, signal: AbortSignal.any([failed.signal, ...(repository.signal ? [repository.signal] : [])]) }
  const log = ['log', '--no-walk=unsorted', '--stdin', '-z', '--no-renames', '--no-ext-diff', '--no-textconv', ...args]

  async function readSlice(from: number): Promise<void> {
    const read = startReader()
    const input = oids.slice(from, from + size).join('\n')
    for await (const records of recordsOf(streamGit(sliced, log, { input }))) for (const record of records) read(record)
    read(undefined)
  }

  const slices: Promise<void>[] = []
  for (let from = 0; from < oids.length; from += size) slices.push(readSlice(from))
  try {
    await Promise.all(slices)
  } catch (error) {
    failed.abort(error)
    await Promise.allSettled(slices)
    throw error
  }
  return { commits: oids.length, truncated, shallow: repository.shallow }
}

async function commitsIn(repository: Repository, { since, maxCommits }: HistoryRange): Promise<{ oids: string[]; truncated: boolean }> {
  if (repository.head === undefined) return { oids: [], truncated: false }
  const args = ['rev-list', `--max-count=${maxCommits + 1}`, ...(since === undefined ? [] : [`--since=${since}`]), repository.head, '--']
  const { stdout } = await git(repository, args, { maxBytes: (maxCommits + 1) * 65 })
  const oids = stdout.toString('latin1').split('\n')
  oids.pop() // what follows the last newline
  return { oids: oids.slice(0, maxCommits), truncated: oids.length > maxCommits }
}

/** Commits that HEAD leads to. */
export async function countCommits(repository: Repository): Promise<number> {
  if (repository.head === undefined) return 0
  const result = await git(repository, ['rev-list', '--count', repository.head, '--'])
  return Number(result.stdout.toString('latin1'))
}

/** One person, whatever names they wrote under: the address decides, the name only where there is none. */
export function personKey(person: { name: string; email: string }): string {
  return person.email.toLowerCase() || person.name
}

/** Ids of the commits at which a shallow clone was cut off. */
async function shallowEdge(repository: Repository): Promise<Set<string>> {
  if (!repository.shallow) return new Set()
  const path = await git(repository, ['rev-parse', '--path-format=absolute', '--git-path', 'shallow'])
  return new Set((await readFile(path.stdout.toString('utf8').trimEnd(), 'latin1')).split('\n'))
}

/** A time in commits, in seconds since 1970, as ISO 8601. */
export function isoTime(seconds: number): string {
  return new Date(Math.min(Math.max(seconds || 0, 0), LAST_SECOND) * 1000).toISOString()
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
