import { z } from 'zod'
import { ScanInput, ScannedCommit, Severity } from './finding.ts'

export const SecretsInput = ScanInput.extend({
  history: z.boolean().default(false).describe('Look at all blobs of history too'),
  limitSeconds: z
    .number()
    .positive()
    .max(3_600)
    .default(120)
    .describe('Stops looking at history after this time; the tree is always looked at'),
  maxBytes: z
    .number()
    .int()
    .min(1)
    .max(16 * 1024 * 1024)
    .default(1024 * 1024)
    .describe('Larger files are skipped and counted'),
  limit: z.number().int().min(1).max(5_000).default(500).describe('How many secrets to list; totals count all'),
})
export type SecretsInput = z.infer<typeof SecretsInput>

export const SecretFinding = z.object({
  rule: z.string().describe('Rule of secretlint that found it, e.g. `aws`'),
  kind: z.string().describe('What kind of secret of that rule, e.g. `AWSSecretAccessKey`'),
  severity: Severity.describe('critical in the tree, high when only in history; medium in files that are tests'),
  message: z.string().describe('What it is; never the secret'),
  masked: z.string().describe('First four characters and the length: `abcd… (40 characters)`'),
  fingerprint: z.string().describe('`sha256:` and the digest of the secret: equal secrets have equal fingerprints'),
  path: z.string().describe('Path at HEAD when it is there, else where it first appeared'),
  line: z.number().int().positive(),
  atHead: z.boolean().describe('True when it is in the tree that was read'),
  firstCommit: z.string().nullable().describe('Commit that brought it in; null when history was not read that far'),
  firstAt: z.string().nullable().describe('ISO 8601 time of that commit'),
  places: z.number().int().describe('Distinct files (content and path) that hold it'),
})
export type SecretFinding = z.infer<typeof SecretFinding>

export const SecretsReport = z.object({
  commit: ScannedCommit,
  findings: z.array(SecretFinding).describe('Each secret once, most severe first; at most `limit`'),
  truncated: z.boolean(),
  totals: z.object({
    secrets: z.number().int().describe('Distinct secrets'),
    atHead: z.number().int(),
    onlyInHistory: z.number().int(),
  }),
  coverage: z.object({
    history: z.boolean().describe('False when only the tree was read'),
    complete: z.boolean().describe('True when every blob that was asked for was looked at or skipped by a rule below'),
    shallow: z.boolean().describe('True when the clone is shallow: older history is not there to be read'),
    stoppedBy: z.enum(['end', 'limitSeconds']),
    commits: z.object({ total: z.number().int(), covered: z.number().int() }).describe('Of history, oldest first; 0 without history'),
    blobs: z.number().int().describe('Distinct blobs met'),
    scanned: z.number().int().describe('Blobs looked at'),
    suspicious: z.number().int().describe('Of those, blobs that the prefilter passed on to the full rules'),
    bytes: z.number().int().describe('Bytes looked at'),
    skipped: z.object({
      binary: z.number().int(),
      tooLarge: z.number().int().describe('Larger than `maxBytes`'),
      missing: z.number().int().describe('Not in this clone'),
      byPath: z.number().int().describe('go.sum: module names and digests only'),
    }),
    seconds: z.number(),
    megabytesPerSecond: z.number(),
  }),
})
export type SecretsReport = z.infer<typeof SecretsReport>
