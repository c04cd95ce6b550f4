import { createHash } from 'node:crypto'
import type { Capsule } from '@soma/contracts/capsule'
import { SomaError } from '@soma/contracts/errors'
import canonicalize from 'canonicalize'

/**
 * `sha256:` of the canonical JSON (RFC 8785) of a value: the same whatever the order of keys.
 * @throws SomaError `invalid_input` for what JSON can not hold
 */
export function digestOf(value: unknown): string {
  return `sha256:${createHash('sha256').update(canonicalJson(value)).digest('hex')}`
}

/** The digest that a capsule is pinned, signed and stored under. */
export function capsuleDigest(capsule: Capsule): string {
  return digestOf(capsule)
}

function canonicalJson(value: unknown): string {
  try {
    const text = canonicalize(value)
    if (text !== undefined) return text
  } catch (error) {
    throw new SomaError('invalid_input', `There is no canonical JSON of the value: ${(error as Error).message}.`, {}, { cause: error })
  }
  throw new SomaError('invalid_input', `There is no canonical JSON of ${typeof value}.`)
}
