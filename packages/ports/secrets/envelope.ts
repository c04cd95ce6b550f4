import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** A value under a data key of its own, and that key under the master key. */
interface Envelope {
  wrappedKey: Buffer
  sealed: Buffer
}

/**
 * Encrypts the value so that only the same `place` opens it again: moved to another tenant, name or version it does not decrypt.
 * @param place what it belongs to, authenticated with both layers
 */
export function putInEnvelope(masterKey: Buffer, place: readonly (string | number)[], value: Buffer): Envelope {
  const dataKey = randomBytes(KEY_BYTES)
  return { wrappedKey: seal(masterKey, ['key', ...place], dataKey), sealed: seal(dataKey, ['value', ...place], value) }
}

/** @throws when the master key or the place is another, or a byte was changed */
export function openEnvelope(masterKey: Buffer, place: readonly (string | number)[], envelope: Envelope): Buffer {
  const dataKey = unseal(masterKey, ['key', ...place], envelope.wrappedKey)
  return unseal(dataKey, ['value', ...place], envelope.sealed)
}

/** Nonce, tag and ciphertext in one. JSON keeps the parts of the place apart, whatever characters they hold. */
export function seal(key: Buffer, place: readonly (string | number)[], plain: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES }).setAAD(Buffer.from(JSON.stringify(place)))
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), encrypted])
}

export function unseal(key: Buffer, place: readonly (string | number)[], sealed: Buffer): Buffer {
  const nonce = sealed.subarray(0, NONCE_BYTES)
  const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES)
  const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(JSON.stringify(place))).setAuthTag(tag)
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
}
