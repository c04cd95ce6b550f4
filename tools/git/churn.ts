import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { listTree, openRepository, type Repository } from '../frame/git.ts'
import { pathText } from '../frame/pathText.ts'
import { HistoryCoverage, HistoryLimits, visitChangedPaths } from './history.ts'
import { RepositoryPath, repositoryFacts } from './target.ts'

const HotSpot = z.object({
  path: z.string().describe('Path in the repository'),
  changes: z.number().int().describe('Commits that changed it'),
  size: z.number().int().describe('Bytes it has now'),
  score: z.number().describe('Changes times size, as a share of the highest: 0 to 1'),
})

const Churn = z.object({
  coverage: HistoryCoverage.describe('How much of the history this is'),
  filesChanged: z.number().int().describe('Files there are now that some commit changed'),
  hotSpots: z.array(HotSpot).describe('Highest score first'),
})

export const churn = operation({
  name: 'git.churn',
  summary: 'Hot spots: large files that change often',
  description: 'A file that one commit made and none changed since is no hot spot, whatever its size.',
  input: z.object({
    repository: RepositoryPath,
    ...HistoryLimits,
    limit: z.number().int().min(1).max(500).default(50).describe('Give the first so many'),
  }),
  output: Churn,
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  timeoutSeconds: 300,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const files = await presentFiles(repository)
    const coverage = await visitChangedPaths(repository, input, (path) => {
      const file = files.get(path)
      if (file) file.changes += 1
    })
    const changed = [...files].filter(([, file]) => file.changes > 0)
    return {
      coverage,
      filesChanged: changed.length,
      hotSpots: rank(changed).slice(0, input.limit),
    }
  },
})

interface PresentFile {
  size: number
  changes: number
}

/** Keyed by the bytes of the path read as Latin-1: quick to make, and exact. */
async function presentFiles(repository: Repository): Promise<Map<string, PresentFile>> {
  const files = new Map<string, PresentFile>()
  for await (const { rawPath, type, size } of listTree(repository)) {
    if (type === 'blob') files.set(rawPath.toString('latin1'), { size: size ?? 0, changes: 0 })
  }
  return files
}

function rank(files: [string, PresentFile][]): z.infer<typeof HotSpot>[] {
  const hot = files.filter(([, file]) => file.changes > 1 && file.size > 0)
  const highest = hot.reduce((most, [, file]) => Math.max(most, file.changes * file.size), 0)
  return hot
    .map(([path, file]) => ({ path, ...file, score: (file.changes * file.size) / highest }))
    .sort((a, b) => b.score - a.score || (a.path < b.path ? -1 : 1))
    .map(({ path, changes, size, score }) => ({ path: pathText(Buffer.from(path, 'latin1')), changes, size, score }))
}
