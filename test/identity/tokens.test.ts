import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlatformProcesses, type PlatformProcesses } from '../stack/platform-process.ts'

/** Enough to answer who somebody is. */
const SERVICES = ['gateway-api', 'identity-service', 'constitution-service', 'policy-engine']

let platform: PlatformProcesses
let here: string
let there: string
beforeAll(async () => {
  platform = await openPlatformProcesses()
  here = (await platform.start(SERVICES)).url
  there = (await platform.start(SERVICES)).url
})
afterAll(() => platform.close())

interface Answer<Body> {
  status: number
  body: Body
}
async function send<Body>(url: string, path: string, options: Parameters<PlatformProcesses['call']>[2] = {}): Promise<Answer<Body>> {
  const answer = await platform.call(url, path, options)
  return { status: answer.status, body: (await answer.json()) as Body }
}
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const newToken = async (body: object = {}) => (await send<{ token: string }>(here, '/v1/tokens', { body })).body.token
const statusOf = async (url: string, token: string) => (await send(url, '/v1/me', bearer(token))).status

test('a token of one process is good in the other, and is told apart from one that is not', async () => {
  const token = await newToken({ capabilities: ['me.*'] })
  expect([await statusOf(here, token), await statusOf(there, token)]).toEqual([200, 200])
  const { body } = await send<{ active: boolean; principal: object; id: string; expiresAt: string }>(there, '/v1/tokens/verify', {
    body: { token },
  })
  expect(body).toMatchObject({ active: true, principal: { tenant: 'main', within: [['me.*']] }, id: expect.stringMatching(/^[\w-]{36}$/) })
  expect(Date.parse(body.expiresAt)).toBeGreaterThan(Date.now())
  const [header, claims] = token.split('.')
  for (const forged of [`${header}.${claims}.`, 'x'])
    expect((await send(there, '/v1/tokens/verify', { body: { token: forged } })).body).toEqual({ active: false })
})

test('a token that was revoked is refused where it was revoked at once, in the other process within five seconds, and after a restart', async () => {
  const [revoked, kept] = [await newToken(), await newToken()]
  expect(await statusOf(there, revoked)).toBe(200)
  const began = performance.now()
  expect((await send(here, '/v1/tokens/revoke', { body: { token: revoked } })).body).toEqual({ revoked: true })
  expect(await statusOf(here, revoked)).toBe(401)
  await expect.poll(() => statusOf(there, revoked), { interval: 20, timeout: 15_000 }).toBe(401)
  expect(performance.now() - began).toBeLessThan(5000)
  expect((await send(there, '/v1/tokens/verify', { body: { token: revoked } })).body).toEqual({ active: false })
  expect((await send(here, '/v1/tokens/revoke', { body: { token: revoked } })).body).toEqual({ revoked: false })
  expect([await statusOf(here, kept), await statusOf(there, kept)]).toEqual([200, 200])

  const restarted = (await platform.start(SERVICES)).url
  expect([await statusOf(restarted, revoked), await statusOf(restarted, kept)]).toEqual([401, 200])
})

test('who may revoke its own tokens only can not revoke those of others', async () => {
  const { key } = (
    await send<{ key: string }>(here, '/v1/api-keys', { body: { name: 'small', capabilities: ['token.revoke', 'me.read'] } })
  ).body
  const other = await newToken()
  const attempt = await send(here, '/v1/tokens/revoke', { ...bearer(key), body: { token: other } })
  expect(attempt).toMatchObject({ status: 403, body: { code: 'forbidden', details: { capability: 'token.admin' } } })
  expect(await statusOf(here, other)).toBe(200)
})

test('after the key was rotated, tokens from before and after are good in both processes, and both keys are published', async () => {
  const before = await newToken()
  const { kid } = (await send<{ kid: string }>(here, '/v1/tokens/keys/rotate', { body: {} })).body
  const after = await newToken()
  for (const url of [here, there]) for (const token of [before, after]) expect(await statusOf(url, token)).toBe(200)
  const published = async (url: string) =>
    (await send<{ keys: { kid: string }[] }>(url, '/.well-known/jwks.json')).body.keys.map((key) => key.kid)
  await expect.poll(() => published(there)).toEqual([kid, expect.any(String)])
  expect(await published(here)).toEqual(await published(there))
})
