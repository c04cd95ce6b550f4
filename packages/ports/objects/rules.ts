import { SomaError } from '@soma/contracts/errors'
import { MAX_OBJECT_BYTES } from './port.ts'

const DIGEST = /^sha256:([0-9a-f]{64})$/
/** `type/subtype` and parameters, RFC 9110 section 8.3.1, on one line of ASCII. */
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(\s*;[\x20-\x7e]*)?$/
const MAX_MEDIA_TYPE = 255
const MAX_PAGE = 1000

/** The digest of content as it stands in an `ObjectRef`. Computed off the main thread. */
export async function digestOf(content: Uint8Array): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', content)
  return `sha256:${Buffer.from(hash).toString('hex')}`
}

/**
 * The 64 hex digits of a digest, safe as a file's name or part of a key.
 * @throws `invalid_input`
 */
export function requireDigest(digest: string): string {
  const hex = DIGEST.exec(digest)?.[1]
  if (hex) return hex
  const shown = JSON.stringify(String(digest).slice(0, 80))
  throw new SomaError('invalid_input', `${shown} is no digest. A digest is "sha256:" and 64 lower-case hex digits.`, { digest })
}

/** @throws `invalid_input` */
export function requireMediaType(mediaType: string): void {
  if (mediaType.length <= MAX_MEDIA_TYPE && MEDIA_TYPE.test(mediaType)) return
  const shown = JSON.stringify(String(mediaType).slice(0, 80))
  throw new SomaError('invalid_input', `${shown} is no media type. It looks like "text/plain" or "text/plain; charset=utf-8".`, {
    mediaType,
  })
}

/** @throws `invalid_input` */
export function requireObjectSize(bytes: number): void {
  if (bytes <= MAX_OBJECT_BYTES) return
  throw new SomaError(
    'invalid_input',
    `The content is ${bytes} bytes long; an object holds at most ${MAX_OBJECT_BYTES}. Store it in parts and keep a list of their digests.`,
    { bytes, limit: MAX_OBJECT_BYTES },
  )
}

/** @throws `invalid_input` */
export function requirePageSize(limit: number): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE) return
  throw new SomaError('invalid_input', `limit is ${limit}; it must be a whole number from 1 to ${MAX_PAGE}.`, { limit })
}

/** @throws `digest_mismatch` */
export async function requireIntact(content: Uint8Array, tenant: string, digest: string): Promise<void> {
  const actual = await digestOf(content)
  if (actual === digest) return
  throw new SomaError(
    'digest_mismatch',
    `Object ${digest} of tenant "${tenant}" was changed where it is stored: its content has the digest ${actual}. Restore it from a backup, or put the content again.`,
    { tenant, digest, actual },
  )
}

export function objectNotFound(tenant: string, digest: string): SomaError {
  return new SomaError(
    'not_found',
    `Tenant "${tenant}" has no object ${digest}. It was never put there, belongs to another tenant, or was deleted.`,
    {
      tenant,
      digest,
    },
  )
}
