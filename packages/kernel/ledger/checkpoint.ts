import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type JournalEntry, sha256 } from '@soma/contracts/journal'
import { z } from 'zod'
import type { SigningKey } from '../keys/keys.ts'

/**
 * A signed statement on a tenant's ledger: the entries after position `after` up to `through` are these `count`, in this order. The
 * next one names its digest, so checkpoints are a chain as well.
 */
export const Checkpoint = z.object({
  tenant: z.string(),
  after: z.string(),
  through: z.string(),
  count: z.number().int(),
  root: z.string().describe('Merkle root (RFC 6962) over the entries’ positions and hashes, hex'),
  previous: z.string().describe('Digest of the checkpoint before, or 64 zeros'),
  at: z.string(),
  keyId: z.string(),
  signature: z.string().describe('Ed25519 over the text of the other fields, base64url'),
})
export type Checkpoint = z.infer<typeof Checkpoint>

/** What stands for an entry in the Merkle tree: its position and its hash, which does not cover the position. Hex. */
export function entryLeaf({ position, hash }: Pick<JournalEntry, 'position' | 'hash'>): string {
  return BigInt(position).toString(16).padStart(16, '0') + hash
}

export const CHECKPOINT_KIND = 'ledger.checkpoint'

type Unsigned = Omit<Checkpoint, 'keyId' | 'signature'>

/** The text that is signed: the fields in a fixed order, a line each. */
function checkpointText(checkpoint: Unsigned): string {
  const { tenant, after, through, count, root, previous, at } = checkpoint
  return ['soma ledger checkpoint', tenant, after, through, count, root, previous, at].join('\n')
}

export function checkpointDigest(checkpoint: Unsigned): string {
  return sha256(checkpointText(checkpoint))
}

export function signCheckpoint(checkpoint: Unsigned, key: SigningKey): Checkpoint {
  return { ...checkpoint, keyId: key.id, signature: key.sign(checkpointText(checkpoint)) }
}

/** @param publicKey SPKI PEM; what is no key has signed nothing */
export function isSignedBy(checkpoint: Checkpoint, publicKey: string): boolean {
  let key: KeyObject
  try {
    key = createPublicKey(publicKey)
  } catch {
    return false
  }
  return verify(null, Buffer.from(checkpointText(checkpoint)), key, Buffer.from(checkpoint.signature, 'base64url'))
}
