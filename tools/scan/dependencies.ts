import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { DependenciesReport } from './dependenciesReport.ts'
import type { Dependency, Ecosystem } from './dependency.ts'
import { readDependencyFiles } from './dependencyFiles.ts'
import { dependencyProblems } from './dependencyProblems.ts'
import { distinctDependencies } from './distinctDependencies.ts'
import { ScanInput, sortFindings } from './finding.ts'
import { openTree } from './tree.ts'

export const dependencies = operation({
  name: 'scan.dependencies',
  summary: 'List dependencies from lock files and manifests, and what is wrong with them',
  description:
    'Reads the lock files and manifests of npm, yarn, pnpm, pip, poetry, uv, pipenv, Go, Cargo, Maven, Gradle, Bundler and Composer in the tree of a commit. Nothing is installed or asked from a registry.',
  input: ScanInput.extend({
    limit: z.number().int().min(1).max(20_000).default(5_000).describe('How many dependencies to list; totals count all'),
  }),
  output: DependenciesReport,
  effect: 'read',
  capability: 'tool.scan.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ repository }) => ({ path: repository }),
  async run(input, { signal }) {
    const tree = await openTree(input, signal)
    const files = await readDependencyFiles(tree)
    const list = distinctDependencies(files)
    const problems = sortFindings(dependencyProblems(files))
    return {
      commit: tree.commit,
      totals: { ...countsOf(list), byEcosystem: byEcosystem(list) },
      lockFiles: files.lockFiles
        .filter(({ isLock }) => isLock)
        .map(({ path, ecosystem, format, readable, packages }) => ({ path, ecosystem, format, readable, ...countsOf(packages) })),
      manifests: files.manifests.map(({ path, ecosystem, declared, lockFile }) => ({
        path,
        ecosystem,
        declared: declared.length,
        lockFile,
      })),
      dependencies: list.slice(0, input.limit),
      truncated: list.length > input.limit || problems.length > MAX_PROBLEMS,
      problems: problems.slice(0, MAX_PROBLEMS),
    }
  },
})

const MAX_PROBLEMS = 1_000

function countsOf(list: { direct: boolean; dev: boolean; integrity: boolean }[]) {
  return {
    dependencies: list.length,
    direct: list.filter(({ direct }) => direct).length,
    dev: list.filter(({ dev }) => dev).length,
    withoutIntegrity: list.filter(({ integrity }) => !integrity).length,
  }
}

function byEcosystem(list: Dependency[]): Partial<Record<Ecosystem, number>> {
  const counts: Partial<Record<Ecosystem, number>> = {}
  for (const { ecosystem } of list) counts[ecosystem] = (counts[ecosystem] ?? 0) + 1
  return counts
}
