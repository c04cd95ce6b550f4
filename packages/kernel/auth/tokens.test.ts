import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import type { Principal } from '@soma/contracts/tenant'
import { createLocalJWKSet, exportJWK, exportSPKI, generateKeyPair, type JWTHeaderParameters, type JWTPayload, SignJWT } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { fixedTokenKey, type TokenKeys } from './token-keys.ts'
import { createTokenIssuer, type TokenIssuer, trustPlatform } from './tokens.ts'
import { createTokenVerifier } from './verify-token.ts'

const ada: Principal = { id: 'user:ada', kind: 'user', tenant: 'acme', capabilities: ['tool.*'], within: [['tool.git.*']] }
const CLAIMS = { sub: 'user:ada', kind: 'user', tenant: 'acme', capabilities: ['*'], within: [] }
const { privateKey } = generateKeyPairSync('ed25519')
const refused = (message: RegExp) => expect.objectContaining({ code: 'unauthenticated', message: expect.stringMatching(message) })

let keys: TokenKeys
let issuer: TokenIssuer
let verify: (token: string) => Promise<Principal>
let kid: string
beforeAll(async () => {
  keys = await fixedTokenKey(privateKey)
  issuer = createTokenIssuer(keys)
  kid = keys.signing().kid
  verify = principalOf(keys)
})

const principalOf = (trusted: Pick<TokenKeys, 'find'>) => {
  const verifier = createTokenVerifier([trustPlatform(trusted)], 'api', { assertGood: async () => undefined })
  return async (token: string) => (await verifier(token)).principal
}

const now = () => Math.floor(Date.now() / 1000)
/** A token as an attacker or a stranger would make it. */
const forge = (
  claims: JWTPayload,
  header: Partial<JWTHeaderParameters> = {},
  key: KeyObject | Awaited<ReturnType<typeof generateKeyPair>>['privateKey'] = privateKey,
) =>
  new SignJWT({ iss: 'soma', aud: 'api', exp: now() + 60, ...CLAIMS, ...claims })
    .setProtectedHeader({ alg: 'EdDSA', kid, ...header })
    .sign(key)
const raw = (header: object, claims: object, signature = '') =>
  `${[header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url')).join('.')}.${signature}`
const FULL = () => ({ iss: 'soma', aud: 'api', exp: now() + 60, ...CLAIMS })

test('a token brings its principal back, limits and all', async () => {
  expect(await verify(await issuer.issue(ada, { audience: 'api', ttlSeconds: 60 }))).toEqual(ada)
  const sure = { ...ada, mfa: true, mfaAt: 1_700_000_000, session: 's1', run: 'r1', onBehalfOf: 'user:eve' }
  expect(await verify(await issuer.issue(sure, { audience: 'api', ttlSeconds: 60 }))).toEqual(sure)
})

test('the published key is public', () => {
  expect(issuer.jwks().keys).toEqual([expect.not.objectContaining({ d: expect.anything() })])
})

describe('refused', () => {
  test.each(['none', 'None', 'NONE', ''])('alg "%s"', async (alg) => {
    await expect(verify(raw({ alg, kid }, FULL()))).rejects.toThrow(refused(/token is not/))
  })

  test('HS256 signed with the public key as the secret', async () => {
    for (const secret of [JSON.stringify(issuer.jwks().keys[0]), issuer.jwks().keys[0]?.x as string]) {
      const signed = raw({ alg: 'HS256', kid }, FULL()).slice(0, -1)
      const signature = createHmac('sha256', secret).update(signed).digest('base64url')
      await expect(verify(`${signed}.${signature}`)).rejects.toThrow(refused(/not signed with one of EdDSA, /))
    }
    const rsa = await generateKeyPair('RS256', { extractable: true })
    const verifyRsa = principalOf({ find: createLocalJWKSet({ keys: [{ ...(await exportJWK(rsa.publicKey)), kid: 'rsa' }] }) })
    const signed = raw({ alg: 'HS256', kid: 'rsa' }, FULL()).slice(0, -1)
    const signature = createHmac('sha256', await exportSPKI(rsa.publicKey))
      .update(signed)
      .digest('base64url')
    await expect(verifyRsa(`${signed}.${signature}`)).rejects.toThrow(refused(/not signed with one of/))
  })

  test('a key that the token brings along, or says where to find', async () => {
    const thief = await generateKeyPair('EdDSA', { extractable: true })
    const jwk = await exportJWK(thief.publicKey)
    await expect(verify(await forge({}, { jwk }, thief.privateKey))).rejects.toThrow(refused(/not valid/))
    for (const header of [{ jku: 'https://evil.example/jwks' }, { x5u: 'https://evil.example/chain.pem' }, { x5c: ['MIIB'] }]) {
      await expect(verify(await forge({}, { ...header, jwk, kid: undefined }, thief.privateKey))).rejects.toThrow(refused(/not valid/))
      await expect(verify(await forge({}, { ...header, jwk }, thief.privateKey))).rejects.toThrow(refused(/not valid/))
    }
  })

  test.each(['../../../../dev/null', "x' union select 'key", 'https://evil.example/key', '__proto__', '', '\u0000'])(
    'the key id %j',
    async (injected) => {
      await expect(verify(await forge({}, { kid: injected }))).rejects.toThrow(refused(/not valid/))
    },
  )

  test('another key under the right id', async () => {
    const thief = generateKeyPairSync('ed25519').privateKey
    await expect(verify(await forge({}, {}, thief))).rejects.toThrow(refused(/not valid/))
  })

  test('another audience or issuer', async () => {
    await expect(verify(await issuer.issue(ada, { audience: 'other', ttlSeconds: 60 }))).rejects.toThrow(refused(/"aud" does not hold/))
    await expect(verify(await forge({ aud: undefined }))).rejects.toThrow(refused(/"aud"/))
    await expect(verify(await forge({ iss: 'https://evil.example' }))).rejects.toThrow(refused(/"iss" does not hold/))
  })

  test('expired, or not yet valid, beyond the 30 s that clocks may differ', async () => {
    await expect(verify(await forge({ exp: now() - 31 }))).rejects.toThrow(refused(/expired/))
    expect(await verify(await forge({ exp: now() - 20 }))).toMatchObject({ id: 'user:ada' })
    await expect(verify(await forge({ nbf: now() + 60 }))).rejects.toThrow(refused(/"nbf"/))
    expect(await verify(await forge({ nbf: now() + 20 }))).toMatchObject({ id: 'user:ada' })
  })

  test('without an end or a subject', async () => {
    await expect(verify(await forge({ exp: undefined }))).rejects.toThrow(refused(/"exp"/))
    await expect(verify(await forge({ sub: undefined }))).rejects.toThrow(refused(/"sub"/))
  })

  test('claims that make no principal', async () => {
    for (const claims of [{ tenant: undefined }, { tenant: 'Acme; drop' }, { capabilities: '*' }, { kind: 'root' }])
      await expect(verify(await forge(claims))).rejects.toThrow(refused(/does not say for which tenant/))
  })

  test('a changed claim', async () => {
    const [header, , signature] = (await issuer.issue(ada, { audience: 'api', ttlSeconds: 60 })).split('.')
    const claims = Buffer.from(JSON.stringify({ ...FULL(), capabilities: ['*'] })).toString('base64url')
    await expect(verify([header, claims, signature].join('.'))).rejects.toThrow(refused(/not valid/))
  })

  test.each(['', 'x', 'a.b', 'a.b.c', 'a.b.c.d.e', '...', 'é.é.é', 'x'.repeat(8000)])('what is no token: %j', async (text) => {
    await expect(verify(text)).rejects.toThrow(refused(/not valid/))
  })
})

test('only an Ed25519 key signs', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  await expect(fixedTokenKey(rsa)).rejects.toThrow(expect.objectContaining({ code: 'invalid_input' }))
})
