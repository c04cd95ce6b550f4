import { z } from 'zod'

/** A version of a tenant's rules as it was published. It is never changed. */
export const ConstitutionVersion = z.object({
  tenant: z.string(),
  version: z.number().int(),
  yaml: z.string(),
  digest: z.string().describe('sha-256 of the YAML text'),
  keyId: z.string(),
  signature: z.string().describe('Ed25519 over tenant, version and digest, base64url'),
  note: z.string().describe('Why it was made, in the words of whoever proposed it'),
  proposedBy: z.string(),
  publishedBy: z.string(),
  publishedAt: z.string(),
  rollbackTo: z.number().int().nullable().describe('The earlier version that it brings back'),
  review: z
    .enum(['two people', 'alone', 'emergency', 'platform'])
    .describe(
      'Whether a second person published it; if not, because nobody else of the tenant could, in an emergency, or with the platform',
    ),
  emergency: z.string().nullable().describe('What the emergency was'),
})
export type ConstitutionVersion = z.infer<typeof ConstitutionVersion>

/** Rules that somebody wants to be in force. */
export const ConstitutionProposal = z.object({
  id: z.string(),
  tenant: z.string(),
  yaml: z.string(),
  digest: z.string(),
  note: z.string(),
  basedOn: z.number().int().describe('The version in force when it was made; 0: none. Another one since then makes it void'),
  rollbackTo: z.number().int().nullable(),
  proposedBy: z.string(),
  proposedAt: z.string(),
  status: z.enum(['open', 'published', 'withdrawn']),
  decidedBy: z.string().nullable(),
  decidedAt: z.string().nullable(),
  version: z.number().int().nullable().describe('What it was published as'),
})
export type ConstitutionProposal = z.infer<typeof ConstitutionProposal>

/** A rule as it stands in a constitution (`Rule` of constitution.ts), with everything that it says. */
export const WrittenRule = z.looseObject({ id: z.string(), says: z.string(), decide: z.string() })
