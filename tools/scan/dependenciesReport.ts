import { z } from 'zod'
import { Dependency, DependencyProblem, Ecosystem } from './dependency.ts'
import { ScanInput, ScannedCommit } from './finding.ts'

export const DependenciesInput = ScanInput.extend({
  limit: z.number().int().min(1).max(20_000).default(5_000).describe('How many dependencies to list; totals count all'),
})
export type DependenciesInput = z.infer<typeof DependenciesInput>

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
