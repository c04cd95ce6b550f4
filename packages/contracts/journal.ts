import { hash } from 'node:crypto'
import { z } from 'zod'

/**
 * One line of the journal, as stored. `hash` covers `prevHash` and every field but `position`, so a stream is a chain. It covers the
 * payload by its digest, so that a payload can be taken away and the chain still holds.
 */
export const JournalEntry = z.object({
  position: z.string().describe('Place in the whole log, a bigint in decimal; grows, gaps allowed'),
  tenant: z.string(),
  stream: z.string().describe('What the entry belongs to: run/01J…, project/…, ledger'),
  seq: z.number().int().min(1).describe('Place in its stream, from 1 without gaps'),
  kind: z.string().describe('What happened: run.started, step.completed, action.intended…'),
  at: z.string().describe('ISO 8601, milliseconds'),
  payload: z.unknown().describe('Left out when it was redacted'),
  redacted: z.literal(true).optional().describe('The payload was taken away; what is left is its digest'),
  digest: z.string().describe('sha-256 of the entry’s salt, a newline and the payload text, hex'),
  prevHash: z.string(),
  hash: z.string(),
})
export type JournalEntry = z.infer<typeof JournalEntry>

/** The hash before a stream's first entry. */
export const GENESIS = '0'.repeat(64)

export function sha256(text: string | Uint8Array): string {
  return hash('sha256', text, 'hex')
}

/**
 * What stands for a payload in the chain.
 * @param text the payload's JSON, exactly as it is stored
 * @param salt drawn for the entry alone and taken away with the payload, so that nobody can guess the one from the digest. Entries
 *   from before there were salts have none.
 */
export function contentDigest(text: string, salt?: string): string {
  return sha256(salt === undefined ? text : `${salt}\n${text}`)
}

/**
 * The chain's link. Fields are joined by newline; none may hold one (the payload comes in as its digest), so two different
 * entries never give the same text.
 */
export function entryHash(entry: {
  tenant: string
  stream: string
  seq: number
  kind: string
  at: string
  digest: string
  prevHash: string
}): string {
  return sha256(`${entry.prevHash}\n${entry.tenant}\n${entry.stream}\n${entry.seq}\n${entry.kind}\n${entry.at}\n${entry.digest}`)
}
