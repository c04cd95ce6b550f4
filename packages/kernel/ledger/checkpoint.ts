import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { type JournalEntry, sha256 } from '@soma/contracts/journal'
import { z } from 'zod'
import { keyIdOf, type SigningKey } from '../keys/keys.ts'

/**
 * A signed statement on a tenant's ledger: the entries after position `after` up to `through` are these `count`, in this order. The
 * next one names its digest, so checkpoints are a chain as well.
 */
export const Checkpoint = z.strictObject({
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

/** The stream that holds a tenant's checkpoints, and nothing else. */
export const CHECKPOINTS = 'ledger'
export const CHECKPOINT_KIND = 'ledger.checkpoint'

/** What stands for an entry in the Merkle tree: its position, which its hash does not cover, and its hash. */
export function entryLeaf({ position, hash }: Pick<JournalEntry, 'position' | 'hash'>): string {
  return `${position}\n${hash}`
}

/** Whether one position of the journal comes after another. */
export function isLater(position: string, than: string): boolean {
  return position.length === than.length ? position > than : position.length > than.length
}

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

/** The keys whose signatures count. @param publicKeys SPKI PEM; what is no key has signed nothing */
export function trustKeys(publicKeys: readonly string[]): { hasSigned(checkpoint: Checkpoint): boolean } {
  const keys = new Map<string, KeyObject>()
  for (const text of publicKeys) {
    const key = readKey(text)
    if (key) keys.set(keyIdOf(key), key)
  }
  return {
    hasSigned(checkpoint) {
      const key = keys.get(checkpoint.keyId)
      if (!key) return false
      const signature = Buffer.from(checkpoint.signature, 'base64url')
      // Other texts may decode to the same bytes.
      if (signature.toString('base64url') !== checkpoint.signature) return false
      return verify(null, Buffer.from(checkpointText(checkpoint)), key, signature)
    },
  }
}

function readKey(text: string): KeyObject | undefined {
  try {
    const key = createPublicKey(text)
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}
