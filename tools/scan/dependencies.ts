import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { Dependency, DependencyProblem, Ecosystem } from './dependency.ts'
import { readDependencyFiles } from './dependencyFiles.ts'
import { dependencyProblems } from './dependencyProblems.ts'
import { distinctDependencies } from './distinctDependencies.ts'
import { ScanInput, ScannedCommit, sortFindings } from './finding.ts'
import { openTree } from './tree.ts'

export const DependenciesReport = z.object({
  commit: ScannedCommit,
  totals: z.object({
    dependencies: z.number().int().describe('Distinct package and version'),
    direct: z.number().int(),
    dev: z.number().int(),
    withoutIntegrity: z.number().int(),
    byEcosystem: z.partialRecord(Ecosystem, z.number().int()),
  }),
  lockFiles: z
    .array(
      z.object({
        path: z.string(),
        ecosystem: Ecosystem,
        format: z.string().describe('e.g. `package-lock v3`, `yarn berry`, `poetry.lock`'),
        readable: z.boolean().describe('False when it does not parse; a problem says why'),
        dependencies: z.number().int(),
        direct: z.number().int(),
        dev: z.number().int(),
        withoutIntegrity: z.number().int(),
      }),
    )
    .describe('By path'),
  manifests: z
    .array(
      z.object({
        path: z.string(),
        ecosystem: Ecosystem,
        declared: z.number().int().describe('Direct dependencies it names'),
        lockFile: z.string().nullable().describe('The lock file that covers it'),
      }),
    )
    .describe('By path'),
  dependencies: z.array(Dependency).describe('By ecosystem, name and version; each once. At most `limit`'),
  truncated: z.boolean().describe('True when there are more dependencies than `limit`'),
  problems: z.array(DependencyProblem).describe('Most severe first'),
})
export type DependenciesReport = z.infer<typeof DependenciesReport>

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
