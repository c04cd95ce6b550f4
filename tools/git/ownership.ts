import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { listTree, openRepository, type Repository } from '../frame/git.ts'
import { pathText } from '../frame/pathText.ts'
import { type HistoryCommit, HistoryCoverage, HistoryLimits, isoTime, personKey, visitHistory } from './history.ts'
import { Person, RepositoryPath, repositoryFacts } from './target.ts'

const MAX_FOLDERS = 200
const MAX_HOLDERS = 10
const MAX_LINES = 500
const AWAY_DAYS = 180
const DAY = 86_400
const SLASH = 47

const Holder = Person.extend({
  share: z.number().describe('Of the authorship, 0 to 1'),
  lastAt: z.string().describe('When this person last committed anywhere in the repository, ISO 8601'),
  away: z.boolean().describe(`No commit for ${AWAY_DAYS} days or more`),
})

const Knowledge = z.object({
  busFactor: z.number().int().describe('Fewest people who together hold at least half of the authorship; 0 when nobody is known'),
  holderCount: z.number().int().describe('People with any share'),
  holders: z.array(Holder).describe(`The ${MAX_HOLDERS} with the largest shares, largest first`),
})

const Folder = Knowledge.extend({
  folder: z.string().describe('Name of the top-level folder; "." for the files beside the folders'),
  files: z.number().int().describe('Tracked files in it now'),
  atRisk: z.boolean().describe('One person holds at least half, and that person is away'),
})

const Ownership = z.object({
  coverage: HistoryCoverage.describe('How much of the history this is'),
  asOf: z.string().describe('The time that "away" is counted to, ISO 8601'),
  whole: Knowledge.describe('The repository as one'),
  folders: z.array(Folder).describe(`Top-level folders there are now, most files first; ${MAX_FOLDERS} at most`),
  atRisk: z.array(z.string()).describe('Names of all folders whose only holder is away'),
})

export const ownership = operation({
  name: 'git.ownership',
  summary: 'Who knows what, and where knowledge is about to be lost',
  description:
    `Authorship is the lines a person changed, at most ${MAX_LINES} a file and commit so that imports and generated files do not drown the rest, ` +
    'halved for every half-life that has passed since.',
  input: z.object({
    repository: RepositoryPath,
    ...HistoryLimits,
    halfLifeDays: z.number().min(30).max(36_500).default(365).describe('Days after which a change counts half'),
    asOf: z.iso.datetime({ offset: true }).optional().describe('Count absence up to this time. Default: now'),
  }),
  output: Ownership,
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  timeoutSeconds: 300,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const asOf = input.asOf === undefined ? new Date() : new Date(input.asOf)
    const authorship: Authorship = {
      asOf: asOf.getTime() / 1000,
      halfLife: input.halfLifeDays * DAY,
      people: new Map(),
      folders: new Map(),
    }
    const coverage = await visitHistory(repository, input, (commit) => attribute(authorship, commit))
    return { coverage, asOf: asOf.toISOString(), ...whoKnowsWhat(authorship, await countFiles(repository)) }
  },
})

interface Authorship {
  /** Seconds since 1970. */
  asOf: number
  /** Seconds. */
  halfLife: number
  people: Map<string, { name: string; email: string; last: number }>
  /** Folder, as the bytes of its name read as Latin-1, to person to weight. */
  folders: Map<string, Map<string, number>>
}

function attribute(authorship: Authorship, commit: HistoryCommit): void {
  const key = personKey(commit)
  const person = authorship.people.get(key)
  if (!person || commit.at >= person.last) authorship.people.set(key, { name: commit.name, email: commit.email, last: commit.at })

  const weight = 0.5 ** (Math.max(authorship.asOf - commit.at, 0) / authorship.halfLife)
  for (const file of commit.files) {
    const lines = Math.min(file.additions + file.deletions, MAX_LINES)
    if (lines === 0) continue
    const folder = topFolder(file.rawPath)
    let holders = authorship.folders.get(folder)
    if (!holders) {
      holders = new Map()
      authorship.folders.set(folder, holders)
    }
    holders.set(key, (holders.get(key) ?? 0) + lines * weight)
  }
}

function topFolder(rawPath: Buffer): string {
  const slash = rawPath.indexOf(SLASH)
  return slash === -1 ? '.' : rawPath.toString('latin1', 0, slash)
}

async function countFiles(repository: Repository): Promise<Map<string, number>> {
  const files = new Map<string, number>()
  for await (const entry of listTree(repository)) {
    const folder = topFolder(entry.rawPath)
    files.set(folder, (files.get(folder) ?? 0) + 1)
  }
  return files
}

function whoKnowsWhat(authorship: Authorship, files: Map<string, number>) {
  const whole = new Map<string, number>()
  for (const folder of files.keys()) {
    for (const [person, weight] of authorship.folders.get(folder) ?? []) whole.set(person, (whole.get(person) ?? 0) + weight)
  }
  const folders = [...files]
    .map(([folder, count]) => {
      const known = knowledge(authorship, authorship.folders.get(folder) ?? new Map())
      const atRisk = known.busFactor === 1 && known.holders[0]?.away === true
      return { folder: pathText(Buffer.from(folder, 'latin1')), files: count, ...known, atRisk }
    })
    .sort((a, b) => b.files - a.files || (a.folder < b.folder ? -1 : 1))
  return {
    whole: knowledge(authorship, whole),
    folders: folders.slice(0, MAX_FOLDERS),
    atRisk: folders.filter(({ atRisk }) => atRisk).map(({ folder }) => folder),
  }
}

function knowledge(authorship: Authorship, weights: Map<string, number>): z.infer<typeof Knowledge> {
  const ranked = [...weights].sort(([, a], [, b]) => b - a)
  const total = ranked.reduce((sum, [, weight]) => sum + weight, 0)
  const busFactor = fewestForHalf(
    ranked.map(([, weight]) => weight),
    total,
  )
  const holders = ranked.slice(0, MAX_HOLDERS).flatMap(([key, weight]) => {
    const person = authorship.people.get(key)
    if (!person || total === 0) return []
    const { name, email, last } = person
    return [{ name, email, share: weight / total, lastAt: isoTime(last), away: authorship.asOf - last >= AWAY_DAYS * DAY }]
  })
  return { busFactor, holderCount: ranked.length, holders }
}

/** How many of the weights, largest first, it takes to reach half of their total. */
function fewestForHalf(weights: number[], total: number): number {
  let held = 0
  let people = 0
  for (const weight of weights) {
    if (held >= total / 2) break
    held += weight
    people += 1
  }
  return people
}
