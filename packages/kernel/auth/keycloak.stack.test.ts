import { createHash, createHmac, createPublicKey, generateKeyPairSync, type JsonWebKey } from 'node:crypto'
import { fromStack } from '@soma/ports/testing'
import { decodeJwt, decodeProtectedHeader, type JSONWebKeySet, SignJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Config } from '../config/schema.ts'
import type { Server } from '../http/server.ts'
import { defineService } from '../http/service.ts'
import { openTestServer } from '../http/testing.ts'
import { createAuthenticate } from './authenticate.ts'
import { checkIssuer } from './check-issuer.ts'
import { openPerson, openTestRealm, PASSWORD, type Person, type TestRealm } from './testing.ts'
import { fixedTokenKey } from './token-keys.ts'
import { createTokenIssuer } from './tokens.ts'
import { trustedIssuers } from './trusted-issuers.ts'
import { createTokenVerifier } from './verify-token.ts'

const echo = defineService({
  name: 'echo',
  summary: 'Says who asked.',
  routes(app) {
    app.get(
      '/v1/echo',
      {
        config: { action: { name: 'http.echo.read', capability: 'echo.read', effect: 'read' } },
        schema: { summary: 'Who asks', response: { 200: z.record(z.string(), z.unknown()) } },
      },
      async (request) => ({ ...request.principal }),
    )
  },
})

describe('identity: keycloak', () => {
  let realm: TestRealm
  let config: Config
  let server: Server
  let url: string
  const platform = generateKeyPairSync('ed25519').privateKey

  beforeAll(async () => {
    realm = await openTestRealm()
    config = Config.parse({
      http: { port: 0 },
      auth: {
        issuer: realm.issuer,
        audience: fromStack('SOMA_AUTH_AUDIENCE'),
        clientId: fromStack('SOMA_AUTH_CLIENT_ID'),
        mfa: { acr: [fromStack('SOMA_AUTH_MFA_ACR')] },
        clockToleranceSeconds: 1,
      },
    })
    const verify = createTokenVerifier(trustedIssuers(config, await fixedTokenKey(platform)), config.auth.audience, {
      assertGood: async () => undefined,
    })
    server = await openTestServer([echo], {
      config,
      authenticate: createAuthenticate({
        apiKey: () => Promise.reject(new Error('No key is shown here.')),
        token: async (token) => (await verify(token)).principal,
      }),
    })
    url = await server.listen()
  })
  afterAll(async () => {
    await server?.close()
    await realm?.delete()
  })

  const ask = (token: string) => fetch(`${url}/v1/echo`, { headers: { authorization: `Bearer ${token}` } })
  const principalOf = async (token: string) => {
    const answer = await ask(token)
    expect({ status: answer.status, body: await answer.clone().json() }).toMatchObject({ status: 200 })
    return (await answer.json()) as Record<string, unknown>
  }
  const expectRefused = async (token: string) => {
    const answer = await ask(token)
    expect({ status: answer.status, body: await answer.json() }).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
  }

  /** The authorization code flow as a browser and the command line do it. */
  async function tokensFor(person: Person, options: { acr?: string; code?: string } = {}): Promise<Tokens> {
    const verifier = 'a-verifier-of-at-least-forty-three-characters-0'
    const redirect = 'http://127.0.0.1:1/callback'
    const query = new URLSearchParams({
      client_id: 'soma',
      response_type: 'code',
      scope: 'openid',
      redirect_uri: redirect,
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...(options.acr ? { acr_values: options.acr } : {}),
    })
    const { leftFor, page } = await person.signIn(`${realm.issuer}/protocol/openid-connect/auth?${query}`, options)
    if (!leftFor) throw new Error(`Keycloak shows: ${page}`)
    const code = leftFor.searchParams.get('code') ?? ''
    return askForTokens({ grant_type: 'authorization_code', code, redirect_uri: redirect, code_verifier: verifier })
  }

  async function askForTokens(grant: Record<string, string>): Promise<Tokens> {
    const body = new URLSearchParams({ client_id: 'soma', ...grant })
    const answer = await fetch(`${realm.issuer}/protocol/openid-connect/token`, { method: 'POST', body })
    if (!answer.ok) throw new Error(await answer.text())
    return (await answer.json()) as Tokens
  }

  /** A confidential client like `soma-service`, but for what is given. */
  async function addClient(clientId: string, { tenant, ...changes }: { tenant?: string; [setting: string]: unknown }): Promise<void> {
    const [like] = (await (await realm.admin('GET', '/clients?clientId=soma-service')).json()) as [Record<string, unknown>]
    const mappers = (like.protocolMappers as object[]).map((mapper) => ({ ...mapper, id: undefined }))
    await realm.admin('POST', '/clients', {
      ...like,
      id: undefined,
      protocolMappers: mappers,
      clientId,
      secret: realm.clientSecret,
      ...changes,
    })
    const [made] = (await (await realm.admin('GET', `/clients?clientId=${clientId}`)).json()) as [{ id: string }]
    const account = (await (await realm.admin('GET', `/clients/${made.id}/service-account-user`)).json()) as Record<string, unknown>
    if (tenant) await realm.admin('PUT', `/users/${account.id}`, { ...account, attributes: { tenant: [tenant] } })
  }

  describe('a person', () => {
    test('signs in with a password and a code from the phone, which is enrolled at the first time', async () => {
      const id = await realm.addUser('ada', { tenant: 'acme', roles: ['soma-viewer'] })
      const ada = openPerson('ada')
      const expected = { id: `user:${id}`, kind: 'user', tenant: 'acme', within: [], mfa: true }
      const first = await principalOf((await tokensFor(ada)).access_token)
      expect(first).toMatchObject({ ...expected, capabilities: expect.arrayContaining(['project.read', 'me.read']) })
      expect(first.capabilities).not.toContain('project.create')
      expect(ada.codesShown()).toBe(1)
      ada.forgetCookies()
      expect(await principalOf((await tokensFor(ada)).access_token)).toMatchObject(expected)
      expect(ada.codesShown()).toBe(2)
    })

    test('who showed a password only has no second factor, and shows one when it is asked for', async () => {
      await realm.addUser('bob', { tenant: 'acme', roles: ['soma-admin'] })
      const bob = openPerson('bob')
      await tokensFor(bob)
      bob.forgetCookies()
      const simple = await principalOf((await tokensFor(bob, { acr: 'password' })).access_token)
      expect(simple).toMatchObject({ tenant: 'acme', capabilities: ['*'] })
      expect(simple).not.toHaveProperty('mfa')
      const codes = bob.codesShown()
      expect(await principalOf((await tokensFor(bob, { acr: 'mfa' })).access_token)).toMatchObject({ mfa: true })
      expect(bob.codesShown()).toBe(codes + 1)
    })

    test('does not get in with a wrong password, a wrong code, or a code that was used', async () => {
      await realm.addUser('eve', { tenant: 'acme' })
      await expect(tokensFor(openPerson('eve', 'not the password'))).rejects.toThrow(/Invalid username or password/)
      const eve = openPerson('eve')
      await tokensFor(eve)
      eve.forgetCookies()
      await tokensFor(eve)
      eve.forgetCookies()
      await expect(tokensFor(eve, { code: eve.lastCode() })).rejects.toThrow(/Invalid authenticator code/)
      await expect(tokensFor(eve, { code: 'abcdef' })).rejects.toThrow(/Invalid authenticator code/)
    })

    test('who guesses too often is shut out, also with the right password', async () => {
      await realm.addUser('mallory', { tenant: 'acme' })
      for (let guess = 0; guess < 5; guess++)
        await expect(tokensFor(openPerson('mallory', `guess number ${guess}`))).rejects.toThrow(/Invalid username or password/)
      await expect(tokensFor(openPerson('mallory'))).rejects.toThrow(/Invalid username or password/)
    })

    test('can not move into another tenant', async () => {
      const id = await realm.addUser('trudy', { tenant: 'acme' })
      await realm.admin('POST', '/clients', { clientId: 'self-service', publicClient: true, directAccessGrantsEnabled: true })
      const { access_token } = await askForTokens({
        client_id: 'self-service',
        grant_type: 'password',
        username: 'trudy',
        password: PASSWORD,
        scope: 'openid',
      })
      const change = (attributes: object) =>
        fetch(`${realm.issuer}/account`, {
          method: 'POST',
          headers: { authorization: `Bearer ${access_token}`, 'content-type': 'application/json', accept: 'application/json' },
          body: JSON.stringify({ username: 'trudy', firstName: 'Trudy', attributes }),
        })
      expect((await change({ tenant: ['acme'] })).status).toBe(204)
      await change({ tenant: ['globex'] })
      expect(await (await realm.admin('GET', `/users/${id}`)).json()).toMatchObject({
        firstName: 'Trudy',
        attributes: { tenant: ['acme'] },
      })
    })

    test('whose session was ended gets no new token; the last one is good until it expires', async () => {
      const id = await realm.addUser('carol', { tenant: 'acme' })
      const { access_token, refresh_token } = await tokensFor(openPerson('carol'), { acr: 'password' })
      const next = await askForTokens({ grant_type: 'refresh_token', refresh_token })
      await realm.admin('POST', `/users/${id}/logout`)
      await expect(askForTokens({ grant_type: 'refresh_token', refresh_token: next.refresh_token })).rejects.toThrow(/invalid_grant/)
      await principalOf(access_token)
    })
  })

  describe('a program', () => {
    test('gets in with its own credentials, as a client', async () => {
      expect(await principalOf(await realm.clientToken())).toMatchObject({
        id: 'client:soma-service',
        kind: 'service',
        tenant: 'main',
        capabilities: expect.arrayContaining(['project.*']),
      })
      await expect(realm.clientToken('soma-service', 'another')).rejects.toThrow(/unauthorized_client/)
    })

    test('the secret of the realm that Keycloak imported is the one from its environment', async () => {
      const token = async (secret: string) => {
        const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'soma-service', client_secret: secret })
        return (await fetch(`${fromStack('SOMA_AUTH_ISSUER')}/protocol/openid-connect/token`, { method: 'POST', body })).status
      }
      expect(await token(fromStack('KEYCLOAK_CLIENT_SECRET'))).toBe(200)
      expect(await token('${SOMA_SERVICE_CLIENT_SECRET}')).toBe(401)
    })

    test('the platform’s own tokens count beside those of the issuer', async () => {
      const { issue } = createTokenIssuer(await fixedTokenKey(platform))
      const own = { id: 'service:gate', kind: 'service', tenant: 'acme', capabilities: ['*'], within: [] } as const
      const token = await issue({ ...own, capabilities: ['*'], within: [] }, { audience: config.auth.audience, ttlSeconds: 60 })
      expect(await principalOf(token)).toEqual(own)
    })
  })

  describe('refused', () => {
    let token: string
    beforeAll(async () => {
      token = await realm.clientToken()
      await principalOf(token)
    })
    const parts = () => token.split('.') as [string, string, string]
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const keys = async () => ((await (await fetch(`${realm.issuer}/protocol/openid-connect/certs`)).json()) as JSONWebKeySet).keys

    test('a token for another audience', async () => {
      await addClient('elsewhere', { tenant: 'main', protocolMappers: [] })
      await expectRefused(await realm.clientToken('elsewhere'))
    })

    test('an ID token', async () => {
      await realm.addUser('dave', { tenant: 'acme' })
      const { access_token, id_token } = await tokensFor(openPerson('dave'), { acr: 'password' })
      await principalOf(access_token)
      await expectRefused(id_token)
    })

    test('whoever has no tenant; Keycloak does not even make such a person', async () => {
      await addClient('homeless', {})
      await expectRefused(await realm.clientToken('homeless'))
      await expect(realm.addUser('nobody', {})).rejects.toThrow(/error-user-attribute-required/)
    })

    test('a token that has expired', async () => {
      await addClient('brief', { tenant: 'main', attributes: { 'access.token.lifespan': '2' } })
      const brief = await realm.clientToken('brief')
      const { exp = 0, iat = 0 } = decodeJwt(brief)
      expect(exp - iat).toBe(2)
      await expect.poll(async () => (await ask(brief)).status).toBe(401)
      expect(Date.now() / 1000).toBeGreaterThan(exp)
    })

    test('a token of another realm, also of the one above all', async () => {
      const other = await openTestRealm()
      try {
        const foreign = await other.clientToken()
        await expectRefused(foreign)
        await expectRefused([parts()[0], foreign.split('.')[1], foreign.split('.')[2]].join('.'))
      } finally {
        await other.delete()
      }
    })

    test('a token that was changed', async () => {
      const [header, , signature] = parts()
      const claims = encode({ ...decodeJwt(token), roles: ['soma-admin'] })
      await expectRefused([header, claims, signature].join('.'))
      const flipped = Buffer.from(signature, 'base64url')
      flipped[10] = (flipped[10] as number) ^ 1
      await expectRefused([header, parts()[1], flipped.toString('base64url')].join('.'))
      await expectRefused([header, parts()[1], ''].join('.'))
    })

    test.each(['none', 'None', 'nOnE'])('the algorithm "%s"', async (alg) => {
      const header = encode({ ...decodeProtectedHeader(token), alg })
      for (const signature of ['', parts()[2]]) await expectRefused([header, parts()[1], signature].join('.'))
    })

    test('HS256 with the public key as the secret', async () => {
      const { kid } = decodeProtectedHeader(token)
      const jwk = (await keys()).find((key) => key.kid === kid)
      const key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
      const signed = `${encode({ alg: 'HS256', typ: 'JWT', kid })}.${parts()[1]}`
      for (const secret of [
        key.export({ type: 'spki', format: 'pem' }),
        key.export({ type: 'pkcs1', format: 'pem' }),
        key.export({ type: 'spki', format: 'der' }),
        JSON.stringify(jwk),
      ])
        await expectRefused(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`)
    })

    test('the key of a stranger, under a key id of the realm or one of its own', async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
      for (const kid of [decodeProtectedHeader(token).kid as string, 'made-up'])
        await expectRefused(await new SignJWT(decodeJwt(token)).setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid }).sign(privateKey))
    })
  })

  test('Keycloak changes its key while requests come: none is refused, with the old key or the new', async () => {
    const old = await realm.clientToken()
    const oldKey = decodeProtectedHeader(old).kid
    const seen = { old: 0, new: 0 }
    const requests = async () => {
      while (seen.new < 12) {
        const token = await realm.clientToken()
        for (const answer of await Promise.all([ask(token), ask(old)])) expect(answer.status, await answer.text()).toBe(200)
        seen[decodeProtectedHeader(token).kid === oldKey ? 'old' : 'new']++
      }
    }
    const load = Promise.all(Array.from({ length: 3 }, requests))
    await expect.poll(() => seen.old).toBeGreaterThan(4)
    await realm.admin('POST', '/components', {
      name: 'rsa-next',
      providerId: 'rsa-generated',
      providerType: 'org.keycloak.keys.KeyProvider',
      config: { priority: ['1000'], enabled: ['true'], active: ['true'], algorithm: ['RS256'], keySize: ['2048'] },
    })
    await load
  })

  test('a check says that the issuer is there, how many keys it has, and how long it took', async () => {
    expect(await checkIssuer(config)).toEqual({ issuer: realm.issuer, keys: expect.any(Number), milliseconds: expect.any(Number) })
    await expect(checkIssuer(Config.parse({ auth: { issuer: `${realm.issuer}-not-there` } }))).rejects.toThrow(
      expect.objectContaining({ code: 'dependency_unavailable' }),
    )
  })
})

interface Tokens {
  access_token: string
  refresh_token: string
  id_token: string
}
