import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { openRepository } from '../frame/git.ts'
import { type HistoryCommit, HistoryCoverage, HistoryLimits, isoTime, personKey, visitHistory } from './history.ts'
import { Person, RepositoryPath, repositoryFacts } from './target.ts'

const MAX_AUTHORS = 100
const MAX_WEEKS = 520
const HOUR = 3_600
const DAY = 24 * HOUR

const Author = Person.extend({
  commits: z.number().int().describe('Commits, merges included'),
  additions: z.number().int().describe('Lines added'),
  deletions: z.number().int().describe('Lines removed'),
  firstAt: z.string().describe('When the first commit was written, ISO 8601'),
  lastAt: z.string().describe('When the last commit was written, ISO 8601'),
})

const Activity = z.object({
  coverage: HistoryCoverage.describe('How much of the history this is'),
  additions: z.number().int().describe('Lines added'),
  deletions: z.number().int().describe('Lines removed'),
  firstAt: z.string().optional().describe('When the earliest commit was written, ISO 8601; absent without commits'),
  lastAt: z.string().optional().describe('When the latest commit was written, ISO 8601; absent without commits'),
  weeks: z
    .array(z.object({ week: z.string().describe('Its Monday, YYYY-MM-DD'), commits: z.number().int().describe('Commits in it') }))
    .describe(`Weeks with commits, oldest first; the last ${MAX_WEEKS} at most`),
  weekdays: z.array(z.number().int()).describe('Commits by day, Monday first, in the local time of whoever wrote them'),
  hours: z.array(z.number().int()).describe('Commits by hour, 0 to 23, in the local time of whoever wrote them'),
  punchCard: z
    .array(z.array(z.number().int()))
    .describe('Commits by day and hour: seven lists of 24, Monday first, in the local time of whoever wrote them'),
  authorCount: z.number().int().describe('People, merged by .mailmap and address'),
  authors: z.array(Author).describe(`The ${MAX_AUTHORS} with the most commits, most first`),
})

export const activity = operation({
  name: 'git.activity',
  summary: 'Who changed how much, and when',
  input: z.object({ repository: RepositoryPath, ...HistoryLimits }),
  output: Activity,
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  timeoutSeconds: 300,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const tally = startTally()
    const coverage = await visitHistory(repository, input, (commit) => count(tally, commit))
    return { coverage, ...sumUp(tally) }
  },
})

interface Totals {
  commits: number
  additions: number
  deletions: number
  first: number
  last: number
}

interface Tally extends Totals {
  /** By the number of the week since the Monday before 1970. */
  weeks: Map<number, number>
  /** By weekday and hour. */
  punchCard: number[][]
  authors: Map<string, Totals & { name: string; email: string }>
}

const nothing = (): Totals => ({ commits: 0, additions: 0, deletions: 0, first: Number.POSITIVE_INFINITY, last: Number.NEGATIVE_INFINITY })

function startTally(): Tally {
  return { ...nothing(), weeks: new Map(), punchCard: Array.from({ length: 7 }, () => new Array(24).fill(0)), authors: new Map() }
}

function count(tally: Tally, commit: HistoryCommit): void {
  const local = commit.at + commit.zone * 60
  const day = Math.floor(local / DAY) + 3 // days since Monday, 29 December 1969
  const week = Math.floor(day / 7)
  const weekday = day - week * 7
  const hour = Math.floor((local - Math.floor(local / DAY) * DAY) / HOUR)
  tally.weeks.set(week, (tally.weeks.get(week) ?? 0) + 1)
  const hours = tally.punchCard[weekday] as number[]
  hours[hour] = (hours[hour] ?? 0) + 1

  const key = personKey(commit)
  const author = tally.authors.get(key) ?? { ...nothing(), name: commit.name, email: commit.email }
  if (commit.at >= author.last) Object.assign(author, { name: commit.name, email: commit.email }) // who changed them goes by the latest
  tally.authors.set(key, author)
  add(tally, commit)
  add(author, commit)
}

function add(totals: Totals, commit: HistoryCommit): void {
  totals.commits += 1
  for (const file of commit.files) {
    totals.additions += file.additions
    totals.deletions += file.deletions
  }
  totals.first = Math.min(totals.first, commit.at)
  totals.last = Math.max(totals.last, commit.at)
}

function sumUp(tally: Tally): Omit<z.infer<typeof Activity>, 'coverage'> {
  const weeks = [...tally.weeks].sort(([a], [b]) => a - b).slice(-MAX_WEEKS)
  const authors = [...tally.authors.values()].sort((a, b) => b.commits - a.commits || a.name.localeCompare(b.name)).slice(0, MAX_AUTHORS)
  return {
    additions: tally.additions,
    deletions: tally.deletions,
    ...(tally.commits > 0 && { firstAt: isoTime(tally.first), lastAt: isoTime(tally.last) }),
    weeks: weeks.map(([week, commits]) => ({ week: isoTime((week * 7 - 3) * DAY).slice(0, 10), commits })),
    weekdays: tally.punchCard.map(sum),
    hours: Array.from({ length: 24 }, (_, hour) => sum(tally.punchCard.map((hours) => hours[hour] ?? 0))),
    punchCard: tally.punchCard,
    authorCount: tally.authors.size,
    authors: authors.map(({ first, last, ...author }) => ({ ...author, firstAt: isoTime(first), lastAt: isoTime(last) })),
  }
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
