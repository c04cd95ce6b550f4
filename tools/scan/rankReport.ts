import { z } from 'zod'
import { Area, Grade } from './area.ts'
import { Severity } from './finding.ts'

export const AreaScore = z.object({
  area: Area,
  score: z.number().int().min(0).max(100),
  grade: Grade,
  weight: z.number().describe('How much the area counts in the overall score'),
  arithmetic: z
    .array(z.object({ reason: z.string(), points: z.number().describe('Added to the score; negative takes away') }))
    .describe('Starts at 100; the sum, cut to 0–100, is the score'),
})
export type AreaScore = z.infer<typeof AreaScore>

export const Fix = z.object({
  rank: z.number().int().positive(),
  area: Area,
  severity: Severity,
  title: z.string(),
  why: z.string(),
  advice: z.string(),
  effort: z.enum(['small', 'medium', 'large']).describe('Small: within an hour; medium: a day; large: more'),
  evidence: z.array(z.object({ path: z.string(), line: z.number().int().positive().optional() })).describe('At most 10'),
  occurrences: z.number().int().describe('How often it was found; may be more than the evidence'),
})
export type Fix = z.infer<typeof Fix>

export const RankReport = z.object({
  score: z.number().int().min(0).max(100),
  grade: Grade,
  arithmetic: z.string().describe('How the overall score follows from the areas'),
  areas: z.array(AreaScore),
  notAssessed: z.array(z.object({ area: Area, reason: z.string() })).describe('Areas that nothing was given for'),
  fixes: z.array(Fix).describe('What to fix first, first'),
})
export type RankReport = z.infer<typeof RankReport>
