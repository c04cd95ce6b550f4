import { generateKeyPairSync } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import Fastify from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fixedTokenKey, type TokenKeys } from '../auth/token-keys.ts'
import { createTokenIssuer, type TokenIssuer, trustPlatform } from '../auth/tokens.ts'
import { createTokenVerifier } from '../auth/verify-token.ts'
import type { ServiceApp } from '../http/service.ts'
import { bodyOf, createInternalFetch, servicePrincipal } from './internal-fetch.ts'

const { privateKey } = generateKeyPairSync('ed25519')
const app = Fastify({ forceCloseConnections: true })
let keys: TokenKeys
let issuer: TokenIssuer
let issued = 0
let address: string | undefined
let fetchAs: ReturnType<typeof createInternalFetch>

beforeAll(async () => {
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  app.all('/v1/echo', async (request) => ({
    method: request.method,
    query: request.query,
    headers: request.headers,
    body: Buffer.isBuffer(request.body) ? request.body.toString('hex') : request.body,
  }))
  app.get('/v1/none', (_, reply) => reply.code(204).send())
  app.get('/v1/bytes', (_, reply) => reply.type('application/octet-stream').send(Buffer.from([0, 255, 128])))
  app.get('/v1/cookies', (_, reply) => reply.header('set-cookie', ['a=1', 'b=2']).send({}))
  app.get('/v1/slow', () => new Promise(() => undefined))
  app.get('/v1/problem', (_, reply) => reply.code(409).send({ code: 'conflict', detail: 'It is there already.', details: { id: 'x' } }))
  app.get('/v1/broken', (_, reply) => reply.code(502).type('text/html').send('<h1>Bad gateway</h1>'))
  await app.listen({ port: 0, host: '127.0.0.1' })
  keys = await fixedTokenKey(privateKey)
  issuer = createTokenIssuer(keys)
  fetchAs = createInternalFetch({
    app: () => app as unknown as ServiceApp,
    tokens: {
      ...issuer,
      issue: (...request) => {
        issued++
        return issuer.issue(...request)
      },
    },
    audience: 'soma-api',
    addressOf: () => address,
  })
})
afterAll(() => app.close())

const tcp = () => `http://127.0.0.1:${(app.server.address() as { port: number }).port}`
const principal = servicePrincipal('gate', 'acme')

interface Echo {
  method: string
  query: unknown
  headers: Record<string, string>
  body: unknown
}

for (const where of ['in this process', 'elsewhere'] as const) {
  const set = () => {
    address = where === 'elsewhere' ? tcp() : undefined
  }

  test(`a callee ${where} gets method, query, headers and body as they were given, and who calls`, async () => {
    set()
    const echo = await bodyOf<Echo>(
      fetchAs(principal)('/v1/echo?a=1&b=%C3%BC', {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-own': 'yes' },
        body: JSON.stringify({ text: 'ü' }),
      }),
    )
    expect(echo).toMatchObject({ method: 'POST', query: { a: '1', b: 'ü' }, headers: { 'x-own': 'yes' }, body: { text: 'ü' } })
    const verify = createTokenVerifier([trustPlatform(keys)], 'soma-api', { assertGood: async () => undefined })
    expect((await verify(echo.headers.authorization?.replace('Bearer ', '') ?? '')).principal).toEqual(principal)
  })

  test(`bytes go to a callee ${where} and come back unchanged`, async () => {
    set()
    const echo = await bodyOf<Echo>(
      fetchAs(principal)('/v1/echo', {
        method: 'PUT',
        headers: { 'content-type': 'application/octet-stream' },
        body: new Uint8Array([0, 255, 128]),
      }),
    )
    expect(echo.body).toBe('00ff80')
    const answer = await fetchAs(principal)('/v1/bytes')
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(new Uint8Array([0, 255, 128]))
  })

  test(`answers of a callee ${where} keep status and headers; those without a body have none`, async () => {
    set()
    const none = await fetchAs(principal)('/v1/none')
    expect([none.status, await none.text()]).toEqual([204, ''])
    expect((await fetchAs(principal)('/v1/cookies')).headers.getSetCookie()).toEqual(['a=1', 'b=2'])
  })

  test(`a caller that gives up no longer waits for a callee ${where}`, async () => {
    set()
    await expect(fetchAs(principal)('/v1/slow', { signal: AbortSignal.timeout(50) })).rejects.toThrow()
  })

  test(`the error that a callee ${where} answered with is thrown as it was`, async () => {
    set()
    await expect(bodyOf(fetchAs(principal)('/v1/problem'))).rejects.toEqual(new SomaError('conflict', 'It is there already.', { id: 'x' }))
    await expect(bodyOf(fetchAs(principal)('/v1/broken'))).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: expect.stringContaining('502'),
    })
  })
}

test('a token is made once for a principal, not for every call', async () => {
  address = undefined
  const before = issued
  for (let count = 0; count < 5; count++) await fetchAs(servicePrincipal('often', 'acme'))('/v1/none')
  await fetchAs(servicePrincipal('often', 'globex'))('/v1/none')
  expect(issued - before).toBe(2)
})

test('an address of another machine leads to this platform all the same', async () => {
  address = undefined
  const echo = await bodyOf<Echo>(fetchAs(principal)('https://elsewhere.example/v1/echo?x=1'))
  expect(echo.query).toEqual({ x: '1' })
})
