import { z } from 'zod'
import { Finding, ScanInput, ScannedCommit } from './finding.ts'

export const InfrastructureInput = ScanInput.extend({
  limit: z.number().int().min(1).max(5_000).default(1_000).describe('How many findings to list'),
})
export type InfrastructureInput = z.infer<typeof InfrastructureInput>

const Paths = z.array(z.string()).describe('Paths, at most 200')

export const InfrastructureReport = z.object({
  commit: ScannedCommit,
  files: z.object({
    dockerfiles: Paths,
    compose: Paths,
    workflows: Paths.describe('GitHub Actions'),
    gitlabCi: Paths,
    kubernetes: Paths.describe('Manifests with apiVersion and kind'),
    helmCharts: Paths.describe('Folders with a Chart.yaml; templates are not rendered'),
    terraform: Paths,
  }),
  terraform: z.object({
    modules: z.array(
      z.object({
        path: z.string().describe('Folder'),
        files: z.number().int(),
        resources: z.number().int(),
        requiredVersion: z.string().nullable(),
        providers: z.array(z.object({ name: z.string(), version: z.string().nullable(), pinned: z.boolean() })),
        lockFile: z.boolean().describe('.terraform.lock.hcl is committed'),
      }),
    ),
  }),
  practices: z.object({
    ci: z.array(z.string()).describe('Names of the CI systems configured'),
    dependencyUpdates: z.array(z.string()).describe('Dependabot, Renovate'),
    editorConfig: z.boolean(),
    preCommit: z.array(z.string()).describe('pre-commit, husky, lefthook'),
    dockerIgnore: z.boolean(),
    devContainer: z.boolean(),
  }),
  checked: z.number().int().describe('Files that rules were run on'),
  unreadable: z.number().int().describe('Files that do not parse; a finding names each'),
  findings: z.array(Finding).describe('Most severe first; at most `limit`'),
  truncated: z.boolean(),
})
export type InfrastructureReport = z.infer<typeof InfrastructureReport>
