import { z } from 'zod'
import { Dependency } from './dependency.ts'
import { ScanInput, ScannedCommit } from './finding.ts'

export const LicencesInput = ScanInput.extend({
  dependencies: z.array(Dependency).optional().describe('The list of scan.dependencies; read from the repository when absent'),
  limit: z.number().int().min(1).max(5_000).default(500).describe('How many conflicts and how many unclear dependencies to list'),
})
export type LicencesInput = z.infer<typeof LicencesInput>

export const LicenceGroup = z.enum(['permissive', 'weak-copyleft', 'strong-copyleft', 'network-copyleft', 'proprietary', 'unknown'])
/** What a licence asks of whoever distributes or, for `network-copyleft`, serves the work; in the order of how much. */
export type LicenceGroup = z.infer<typeof LicenceGroup>

const Licensed = Dependency.pick({ ecosystem: true, name: true, version: true, purl: true, direct: true, dev: true })

export const LicencesReport = z.object({
  commit: ScannedCommit,
  repository: z.object({
    expression: z.string().nullable().describe("The repository's own licence as an SPDX expression; null when it has none that is known"),
    group: LicenceGroup,
    sources: z
      .array(
        z.object({
          path: z.string(),
          expression: z.string().nullable().describe('null when the text matches no licence of the SPDX list'),
          similarity: z.number().describe('How alike the text is to the SPDX text, 0 to 1; 1 when it is a field of a manifest'),
        }),
      )
      .describe('Files that state it'),
    disagreement: z.boolean().describe('True when the sources state different licences'),
  }),
  totals: z.object({
    dependencies: z.number().int(),
    stated: z.number().int().describe('With a licence in the lock file'),
    unknown: z.number().int().describe('Without one, or with one that is not understood'),
  }),
  groups: z
    .array(
      z.object({
        group: LicenceGroup,
        dependencies: z.number().int(),
        licences: z.array(z.object({ expression: z.string(), dependencies: z.number().int() })).describe('Most used first'),
      }),
    )
    .describe('All groups, in the order of what they ask'),
  conflicts: z
    .array(
      Licensed.extend({
        expression: z.string(),
        severity: z.enum(['high', 'medium', 'low']),
        reason: z.string().describe('Why it does not go with the licence of the repository'),
        advice: z.string(),
      }),
    )
    .describe('Most severe first'),
  unclear: z
    .array(Licensed.extend({ stated: z.string().nullable().describe('What the lock file says; null when it says nothing') }))
    .describe('Dependencies whose licence is not known, at most `limit`'),
  truncated: z.boolean(),
})
export type LicencesReport = z.infer<typeof LicencesReport>
