import { z } from 'zod'
import { DependenciesReport } from './dependenciesReport.ts'
import { DocumentationReport } from './documentationReport.ts'
import { InfrastructureReport } from './infrastructureReport.ts'
import { LanguagesReport } from './languagesReport.ts'
import { LicencesReport } from './licencesReport.ts'
import { SecretsReport } from './secretsReport.ts'

/** The facts of git that count, from git.activity and git.ownership; what else they say is passed over. */
const Activity = z.object({ lastAt: z.string().optional(), authorCount: z.number().optional() })
const Ownership = z.object({
  asOf: z.string().optional(),
  whole: z.object({ busFactor: z.number(), holderCount: z.number() }).partial().optional(),
  atRisk: z.array(z.string()).optional(),
})

/** What was not made is left out or null, as a plan hands it on. */
const given = <Report extends z.ZodType>(report: Report) => report.nullish().transform((value) => value ?? undefined)

/** Reports of the other scans, each optional. */
export const RankInput = z.object({
  languages: given(LanguagesReport),
  dependencies: given(DependenciesReport),
  licences: given(LicencesReport),
  secrets: given(SecretsReport),
  documentation: given(DocumentationReport),
  infrastructure: given(InfrastructureReport),
  activity: given(Activity).describe('What git.activity gave'),
  ownership: given(Ownership).describe('What git.ownership gave'),
  asOf: z.string().optional().describe("ISO 8601 time that the last commit's age is counted to; default: the one of `ownership`"),
  limit: z.number().int().min(1).max(500).default(100).describe('How many fixes to list'),
})
export type RankInput = z.infer<typeof RankInput>
