import { generateKeyPairSync } from 'node:crypto'
import { Capsule } from '@soma/contracts/capsule'
import { SomaError } from '@soma/contracts/errors'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { capsuleDigest, digestOf } from './digest.ts'
import { createSigningKey, signDigest, verifyCapsule } from './signature.ts'

const capsule = Capsule.parse({
  apiVersion: 'soma.dev/v1',
  kind: 'Capsule',
  metadata: { name: 'greet', version: '1.0.0', summary: 'Says hello' },
  outputs: { value: '${{ steps.hello }}' },
  steps: [{ id: 'hello', value: 'hello' }],
})
const digest = capsuleDigest(capsule)
const mine = createSigningKey()
const theirs = createSigningKey()
const signed = { capsule, digest, signatures: [signDigest(digest, mine.privateKey, new Date(0))] }
const first = signed.signatures[0] as (typeof signed.signatures)[number]

const refusal = (stored: Parameters<typeof verifyCapsule>[0], trusted = [mine.publicKey]) => {
  try {
    verifyCapsule(stored, trusted)
  } catch (error) {
    if (SomaError.is(error, 'signature_invalid')) return { reason: error.details.reason, message: error.message }
    throw error
  }
  throw new Error('the capsule was accepted')
}

describe('digest', () => {
  test('is that of RFC 8785', () => {
    // The text is the RFC's canonical form, written out by hand.
    expect(digestOf({ b: [1e21, 'é', null], a: 1.0 })).toBe(digestOf(JSON.parse('{"a":1,"b":[1e+21,"\\u00e9",null]}')))
    expect(digestOf({})).toBe('sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a')
  })

  test('does not depend on the order of keys', () => {
    const reversed = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(reversed)
      if (value === null || typeof value !== 'object') return value
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, each]) => [key, reversed(each)]),
      )
    }
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(digestOf(reversed(value))).toBe(digestOf(value))
      }),
    )
  })

  test('differs for values that differ', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, two) => {
        const same = JSON.stringify(one) === JSON.stringify(two)
        fc.pre(!same)
        expect(digestOf([one])).not.toBe(digestOf([one, two]))
        expect(digestOf({ a: one })).not.toBe(digestOf({ b: one }))
      }),
    )
  })

  test.each([[Number.NaN], [10n], [undefined]])('there is none of %s', (value) => {
    expect(() => digestOf(value)).toThrow(expect.objectContaining({ code: 'invalid_input' }))
  })
})

describe('signature', () => {
  test('of a trusted key over the capsule is accepted', () => {
    expect(verifyCapsule(signed, [theirs.publicKey, mine.publicKey]).keyId).toBe(mine.keyId)
  })

  test('a changed capsule is refused', () => {
    const changed = Capsule.parse({ ...capsule, steps: [{ id: 'hello', value: 'bye' }] })
    expect(refusal({ ...signed, capsule: changed })).toMatchObject({
      reason: 'changed',
      message: expect.stringContaining('greet@1.0.0 was changed'),
    })
    expect(refusal({ ...signed, capsule: changed, digest: capsuleDigest(changed) }).reason).toBe('forged')
  })

  test('a forged signature is refused', () => {
    const signature = Buffer.from(first.signature, 'base64url')
    signature[0] = (signature[0] as number) ^ 1
    expect(refusal({ ...signed, signatures: [{ ...first, signature: signature.toString('base64url') }] }).reason).toBe('forged')
    expect(refusal({ ...signed, signatures: [{ ...first, publicKey: 'no key' }] }).reason).toBe('forged')
  })

  test('the key of somebody else put in is refused', () => {
    const other = signDigest(digest, theirs.privateKey, new Date(0))
    expect(refusal({ ...signed, signatures: [{ ...other, publicKey: mine.publicKey, keyId: mine.keyId }] }).reason).toBe('forged')
    expect(refusal({ ...signed, signatures: [{ ...other, keyId: mine.keyId }] }).reason).toBe('forged')
    expect(refusal({ ...signed, signatures: [other] })).toMatchObject({
      reason: 'untrusted',
      message: expect.stringContaining(theirs.keyId),
    })
  })

  test('one forged signature beside a good one is refused', () => {
    expect(refusal({ ...signed, signatures: [first, { ...first, signature: 'AAAA' }] }).reason).toBe('forged')
  })

  test('a capsule without signatures is refused', () => expect(refusal({ ...signed, signatures: [] }).reason).toBe('unsigned'))

  test('only Ed25519 keys sign', () => {
    const other = generateKeyPairSync('ed448').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    expect(() => signDigest(digest, other, new Date(0))).toThrow('The key is ed448')
    expect(() => signDigest(digest, 'hello', new Date(0))).toThrow('can not be read')
  })
})
