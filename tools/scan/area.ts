import { z } from 'zod'

export const Area = z.enum(['secrets', 'dependencies', 'licences', 'documentation', 'infrastructure', 'code', 'people', 'activity'])
export type Area = z.infer<typeof Area>

export const Grade = z.enum(['A', 'B', 'C', 'D', 'F'])
export type Grade = z.infer<typeof Grade>

/** A from 90, B from 80, C from 70, D from 60. */
export function gradeOf(score: number): Grade {
  return score >= 90 ? 'A' : score >= 80 ? 'B' : score >= 70 ? 'C' : score >= 60 ? 'D' : 'F'
}
