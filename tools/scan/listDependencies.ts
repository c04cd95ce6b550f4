import type { OperationContext } from '@soma/contracts/operation'
import type { DependenciesInput, DependenciesReport } from './dependenciesReport.ts'
import type { Dependency, Ecosystem } from './dependency.ts'
import { readDependencyFiles } from './dependencyFiles.ts'
import { dependencyProblems } from './dependencyProblems.ts'
import { distinctDependencies } from './distinctDependencies.ts'
import { sortFindings } from './finding.ts'
import { openTree } from './tree.ts'

/** Distinct dependencies of one commit, with what is wrong with how they are declared. @throws what `openTree` does */
export async function listDependencies(input: DependenciesInput, { signal }: OperationContext<unknown>): Promise<DependenciesReport> {
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
}

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
