import { z } from 'zod'

export const REDACTED_KIND = 'ledger.redacted'

/** The stream that says of which entries of a stream the content was taken away. Beside it, so that the stream's own writer is not disturbed. */
export function redactionsOf(stream: string): string {
  return `redacted/${stream}`
}

/** What stays of content that was taken away, in an entry of its own: which, by whom, when and why. */
export const Tombstone = z.object({
  seqs: z.array(z.number().int().min(1)).min(1).describe('Entries of the stream'),
  cause: z.enum(['request', 'retention']),
  reason: z.string(),
  by: z.string(),
  objects: z.array(z.string()).describe('Digests of objects that were deleted with it'),
})
export type Tombstone = z.infer<typeof Tombstone>

/** `action.completed` is itself, `action.*` every kind of actions, `*` every kind. */
export const KindPattern = z.string().regex(/^(\*|[a-z][a-z_]*(\.[a-z][a-z_]*)*(\.\*)?)$/, 'a kind, or a kind with .* at its end, or *')

export function isOfKind(kind: string, patterns: readonly string[]): boolean {
  return patterns.some(
    (pattern) => pattern === '*' || pattern === kind || (pattern.endsWith('.*') && kind.startsWith(pattern.slice(0, -1))),
  )
}

/** The ledger's own entries are what verification itself reads: they keep their content, and no filter leaves it out. */
export function isOwnKind(kind: string): boolean {
  return kind.startsWith('ledger.')
}

/** Whether a filtered export holds the content of a kind. */
export function isKeptWhole(kind: string, patterns: readonly string[]): boolean {
  return isOwnKind(kind) || isOfKind(kind, patterns)
}
