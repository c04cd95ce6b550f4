import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto'
import type { Capsule, StoredCapsule } from '@soma/contracts/capsule'
import { SomaError } from '@soma/contracts/errors'
import { capsuleDigest } from './digest.ts'

export type CapsuleSignature = StoredCapsule['signatures'][number]

/** A new Ed25519 key pair as PEM. */
export function createSigningKey(): { publicKey: string; privateKey: string; keyId: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    keyId: keyIdOf(publicKey),
  }
}

/**
 * Signs a digest.
 * @param privateKey Ed25519, PEM
 * @throws SomaError `invalid_input` when the key can not be used
 */
export function signDigest(digest: string, privateKey: string, at: Date): CapsuleSignature {
  const key = readKey(privateKey, createPrivateKey)
  const publicKey = createPublicKey(key)
  return {
    keyId: keyIdOf(publicKey),
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
    signature: sign(null, Buffer.from(digest), key).toString('base64url'),
    at: at.toISOString(),
  }
}

/**
 * Checks that the capsule is the one that was signed, that every signature is genuine, and that a trusted key is among them.
 * @param trustedKeys public keys, PEM
 * @returns the signature by the trusted key
 * @throws SomaError `signature_invalid`; `details.reason` is `changed`, `unsigned`, `forged` or `untrusted`
 */
export function verifyCapsule(
  stored: Pick<StoredCapsule, 'digest' | 'signatures'> & { capsule: Capsule },
  trustedKeys: readonly string[],
): CapsuleSignature {
  const { name, version } = stored.capsule.metadata
  const refuse = (reason: string, sentence: string, details = {}) =>
    new SomaError('signature_invalid', sentence, { capsule: `${name}@${version}`, reason, ...details })

  const digest = capsuleDigest(stored.capsule)
  if (digest !== stored.digest)
    throw refuse('changed', `Capsule ${name}@${version} was changed after it was signed: ${stored.digest} was signed, this is ${digest}.`, {
      expected: stored.digest,
      got: digest,
    })
  if (stored.signatures.length === 0)
    throw refuse('unsigned', `Capsule ${name}@${version} is not signed. Sign it with "soma capsule sign".`)
  for (const signature of stored.signatures) {
    if (!isGenuine(signature, digest))
      throw refuse(
        'forged',
        `The signature of capsule ${name}@${version} by ${signature.keyId} was not made with that key over this capsule.`,
        {
          keyId: signature.keyId,
        },
      )
  }
  const trusted = new Set(trustedKeys.map((key) => keyIdOf(readKey(key, createPublicKey))))
  const signature = stored.signatures.find((each) => trusted.has(keyIdOf(readKey(each.publicKey, createPublicKey))))
  if (!signature) {
    const signers = stored.signatures.map((each) => each.keyId).join(', ')
    throw refuse('untrusted', `Capsule ${name}@${version} is signed by ${signers}, which is not a key that you trust.`, { signers })
  }
  return signature
}

function isGenuine(signature: CapsuleSignature, digest: string): boolean {
  try {
    const key = createPublicKey(signature.publicKey)
    if (key.asymmetricKeyType !== 'ed25519' || keyIdOf(key) !== signature.keyId) return false
    return verify(null, Buffer.from(digest), key, Buffer.from(signature.signature, 'base64url'))
  } catch {
    // What can't be read as a key is no signature by one.
    return false
  }
}

/** `ed25519:` and the first 16 hex digits of the public key's sha-256. */
export function keyIdOf(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return `ed25519:${createHash('sha256').update(der).digest('hex').slice(0, 16)}`
}

function readKey(pem: string, read: (pem: string) => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = read(pem)
  } catch (error) {
    throw new SomaError('invalid_input', 'The key can not be read; an Ed25519 key in PEM is asked for.', {}, { cause: error })
  }
  if (key.asymmetricKeyType !== 'ed25519')
    throw new SomaError('invalid_input', `The key is ${key.asymmetricKeyType}; an Ed25519 key in PEM is asked for.`)
  return key
}
