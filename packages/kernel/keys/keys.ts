import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { sha256 } from '@soma/contracts/journal'
import type { Secrets } from '@soma/ports/secrets/port'

/** The tenant under which the platform keeps its own keys; no person's tenant can be named so. */
const PLATFORM = 'platform'

/** What keys are for. One is never used for another purpose. */
export type KeyPurpose = 'ledger' | 'capsules' | 'constitution'

export interface SigningKey {
  id: string
  privateKey: KeyObject
  /** SPKI PEM. */
  publicKey: string
  /** Ed25519, base64url. */
  sign(text: string): string
}

/** The platform's Ed25519 keys, made at first use and kept as secrets. */
export function createKeys(secrets: Secrets): { signingKey(purpose: KeyPurpose): Promise<SigningKey> } {
  const loaded = new Map<KeyPurpose, Promise<SigningKey>>()
  async function load(purpose: KeyPurpose): Promise<SigningKey> {
    const name = `keys/${purpose}`
    // Two processes may make one at once: the first version is the one that counts, now and after every start.
    const known = await secrets.read(PLATFORM, name, 1)
    if (known) return toSigningKey(createPrivateKey(known))
    const made = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    await secrets.write(PLATFORM, name, made)
    return toSigningKey(createPrivateKey((await secrets.read(PLATFORM, name, 1)) ?? made))
  }
  return {
    signingKey(purpose) {
      const known = loaded.get(purpose) ?? load(purpose)
      loaded.set(purpose, known)
      known.catch(() => loaded.delete(purpose))
      return known
    },
  }
}

export type Keys = ReturnType<typeof createKeys>

export function toSigningKey(privateKey: KeyObject): SigningKey {
  const publicKey = createPublicKey(privateKey)
  return {
    id: keyIdOf(publicKey),
    privateKey,
    publicKey: publicKey.export({ type: 'spki', format: 'pem' }) as string,
    sign: (text) => sign(null, Buffer.from(text), privateKey).toString('base64url'),
  }
}

/** First 16 hex digits of the sha-256 of the public key's DER. */
export function keyIdOf(publicKey: KeyObject): string {
  return sha256(publicKey.export({ type: 'spki', format: 'der' })).slice(0, 16)
}
