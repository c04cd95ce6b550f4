import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Config } from '../config/schema.ts'
import { checkIssuer } from './check-issuer.ts'
import { trustExternalIssuer } from './external-issuer.ts'
import { createTokenVerifier, type TrustedIssuer } from './verify-token.ts'

type Key = Awaited<ReturnType<typeof makeKey>>
async function makeKey(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' } as JWK }
}

let server: Server
let issuer: string
/** What the issuer publishes, and how often it was asked. */
let published: Key[]
let asked: number
/** Instead of its keys. */
let misbehave: RequestListener | undefined

beforeEach(async () => {
  published = [await makeKey('first')]
  asked = 0
  misbehave = undefined
  server = createServer((request, response) => {
    if (request.url !== '/keys') response.end(JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` }))
    else {
      asked++
      if (misbehave) misbehave(request, response)
      else response.end(JSON.stringify({ keys: published.map(({ jwk }) => jwk) }))
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

const config = (auth: object = {}) => Config.parse({ auth: { issuer, audience: 'api', ...auth } })
const verifier = (auth: object = {}) => {
  const verify = createTokenVerifier([trustExternalIssuer(config(auth).auth) as TrustedIssuer], 'api', {
    assertGood: async () => undefined,
  })
  return async (token: string) => (await verify(token)).principal
}
const sign = ({ kid, privateKey }: Key) =>
  new SignJWT({ tenant: 'acme' })
    .setProtectedHeader({ alg: 'ES256', kid })
    .setIssuer(issuer)
    .setAudience('api')
    .setSubject('ada')
    .setExpirationTime('1m')
    .sign(privateKey)
const refused = expect.objectContaining({ code: 'unauthenticated' })
const away = expect.objectContaining({ code: 'dependency_unavailable' })

test('the keys are found by discovery or where the configuration says, and asked for once', async () => {
  const token = await sign(published[0] as Key)
  for (const auth of [{}, { jwksUrl: `${issuer}/keys` }]) {
    asked = 0
    const verify = verifier(auth)
    expect(await Promise.all(Array.from({ length: 50 }, () => verify(token)))).toHaveLength(50)
    expect(asked).toBe(1)
  }
})

test('a new key is known from its first token on, also right after somebody made us ask for one that does not exist', async () => {
  const verify = verifier()
  await verify(await sign(published[0] as Key))
  await expect(verify(await sign(await makeKey('made up')))).rejects.toThrow(refused)
  published = [await makeKey('second'), ...published]
  const tokens = await Promise.all(published.map(sign))
  expect(await Promise.all(tokens.map(verify))).toHaveLength(2)
})

test('tokens with made-up keys make us ask no more than once a second', async () => {
  const verify = verifier()
  await verify(await sign(published[0] as Key))
  const began = performance.now()
  const forged = await Promise.all(Array.from({ length: 100 }, async (_, at) => sign({ ...(published[0] as Key), kid: `forged-${at}` })))
  await Promise.all(forged.map((token) => expect(verify(token)).rejects.toThrow(refused)))
  expect(asked).toBeLessThanOrEqual(2 + (performance.now() - began) / 1000)
})

test.each<[string, RequestListener]>([
  ['an error', (_, response) => response.writeHead(500).end()],
  ['a page', (_, response) => response.end('<h1>Welcome</h1>')],
  ['no keys', (_, response) => response.end('{}')],
  ['a redirect', (_, response) => response.writeHead(302, { location: '/' }).end()],
  ['a broken connection', (request) => request.socket.destroy()],
])('an issuer that answers with %s lets nobody in, is asked again soon, and then lets them in', async (_, answer) => {
  misbehave = answer
  const verify = verifier()
  const token = await sign(published[0] as Key)
  const began = performance.now()
  await Promise.all(Array.from({ length: 20 }, () => expect(verify(token)).rejects.toThrow(away)))
  await expect(verify(token)).rejects.toThrow(away)
  expect(asked).toBeLessThanOrEqual(1 + (performance.now() - began) / 1000)
  misbehave = undefined
  await expect.poll(() => verify(token).catch(() => undefined)).toMatchObject({ id: 'user:ada' })
})

test('an issuer that never answers is waited for only seconds', async () => {
  misbehave = () => undefined
  const began = performance.now()
  await expect(verifier()(await sign(published[0] as Key))).rejects.toThrow(away)
  expect(performance.now() - began).toBeLessThan(8000)
})

test('keys that are known serve while the issuer is away; a key that is not known can not be told from a forged one then', async () => {
  const verify = verifier()
  const token = await sign(published[0] as Key)
  await verify(token)
  server.closeAllConnections()
  server.close()
  expect(await verify(token)).toMatchObject({ id: 'user:ada' })
  await expect.poll(async () => verify(await sign(await makeKey('unknown'))).catch((error) => error)).toEqual(away)
})

test('a document that speaks for another issuer is not taken, and the message says what to set', async () => {
  const token = await sign(published[0] as Key)
  const mistaken = issuer.replace('127.0.0.1', 'localhost')
  await expect(verifier({ issuer: mistaken })(token)).rejects.toThrow(refused)
  await expect(checkIssuer(config({ issuer: mistaken }))).rejects.toThrow(
    expect.objectContaining({ code: 'dependency_unavailable', message: expect.stringContaining(`speaks for the issuer ${issuer}.`) }),
  )
})

test('a check tells how long the issuer took and how many keys it has; without an issuer there is nothing to check', async () => {
  expect(await checkIssuer(config())).toEqual({ issuer, keys: 1, milliseconds: expect.any(Number) })
  expect(await checkIssuer(Config.parse({}))).toBeUndefined()
  misbehave = (_, response) => response.writeHead(503).end()
  await expect(checkIssuer(config())).rejects.toThrow(away)
})
