import { z } from 'zod'

/** How much it matters: `critical` is acted on today, `high` this week, `medium` this month, `low` when one passes by, `info` is a fact. */
export const Severity = z.enum(['critical', 'high', 'medium', 'low', 'info'])
export type Severity = z.infer<typeof Severity>

const ORDER = Severity.options

/** Negative when `a` matters more than `b`. */
export function compareSeverity(a: Severity, b: Severity): number {
  return ORDER.indexOf(a) - ORDER.indexOf(b)
}

export const Finding = z.object({
  rule: z.string().describe('Stable name of the rule, e.g. `docker.root-user`'),
  severity: Severity,
  path: z.string().describe('Path in the repository; bytes that are no UTF-8 are shown as the replacement character'),
  line: z.number().int().positive().optional().describe('Line the finding is on, from 1'),
  message: z.string().describe('What was found'),
  advice: z.string().describe('What to do about it'),
})
export type Finding = z.infer<typeof Finding>

/** What every scan takes. */
export const ScanInput = z.object({
  repository: z.string().min(1).describe('Absolute path of the git repository'),
  ref: z.string().min(1).default('HEAD').describe('Branch, tag or commit to read'),
})
export type ScanInput = z.infer<typeof ScanInput>

/** The commit that was read. */
export const ScannedCommit = z.string().nullable().describe('The commit that was read; null when the repository has none yet')

/** Orders findings by severity, path, line and rule, so that the same tree always gives the same list. */
export function sortFindings<F extends Finding>(findings: F[]): F[] {
  return findings.sort(
    (a, b) =>
      compareSeverity(a.severity, b.severity) ||
      compareText(a.path, b.path) ||
      (a.line ?? 0) - (b.line ?? 0) ||
      compareText(a.rule, b.rule) ||
      compareText(a.message, b.message),
  )
}

/** Orders by code unit: the same on every machine, whatever its locale. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
