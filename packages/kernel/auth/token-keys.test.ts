import { randomBytes } from 'node:crypto'
import type { Principal } from '@soma/contracts/tenant'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import type { Secrets } from '@soma/ports/secrets/port'
import { openPostgresSecrets } from '@soma/ports/secrets/postgres'
import type { Sql } from '@soma/ports/sql/port'
import { openPostgres } from '@soma/ports/sql/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { decodeProtectedHeader } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { openTokenKeys } from './token-keys.ts'
import { createTokenIssuer, trustPlatform } from './tokens.ts'
import { createTokenVerifier } from './verify-token.ts'

type Process = Awaited<ReturnType<typeof open>>

const masterKey = randomBytes(32)
const ada: Principal = { id: 'user:ada', kind: 'user', tenant: 'acme', capabilities: ['*'], within: [] }
let testSql: Awaited<ReturnType<typeof openTestSql>>
let here: Process
let there: Process
beforeEach(async () => {
  testSql = await openTestSql()
  here = await open(testSql)
  there = await open(await openPostgres({ connection: testSql.connection }))
})
afterEach(async () => {
  await there.close()
  await there.sql.close()
  await here.close()
  await testSql.close()
})

/** The keys as a process has them: connections of its own. With `isDeaf` no broadcast reaches it. */
async function open(sql: Sql, { isDeaf = false } = {}) {
  const secrets = await openPostgresSecrets(sql, { masterKey })
  const broadcast = await openPostgresBroadcast(sql)
  const heard = isDeaf ? { ...broadcast, subscribe: async () => async () => undefined } : broadcast
  const keys = await openTokenKeys({ secrets, broadcast: heard })
  const verify = createTokenVerifier([trustPlatform(keys)], 'api', { assertGood: async () => undefined })
  return {
    sql,
    secrets,
    keys,
    issue: () => createTokenIssuer(keys).issue(ada, { audience: 'api', ttlSeconds: 3600 }),
    verify: async (token: string) => (await verify(token)).principal.id,
    close: async () => {
      await keys.close()
      await broadcast.close()
      await secrets.close()
    },
  }
}

const kidOf = (token: string) => decodeProtectedHeader(token).kid
const kids = ({ keys }: Process) => keys.jwks().keys.map(({ kid }) => kid)
const refused = expect.objectContaining({ code: 'unauthenticated' })
/** As if time had passed since the newest key was made. */
async function age(secrets: Secrets, hours: number) {
  const [{ version } = { version: 0 }] = await secrets.list('platform', 'keys/access-tokens')
  const stored = JSON.parse((await secrets.read('platform', 'keys/access-tokens', version)) as string)
  await secrets.write('platform', 'keys/access-tokens', JSON.stringify({ ...stored, madeAt: stored.madeAt - hours * 3_600_000 }))
}

test('a token of one process is good in every other, also when they started at the same moment', async () => {
  expect(await there.verify(await here.issue())).toBe('user:ada')
  expect(await here.verify(await there.issue())).toBe('user:ada')
})

test('after a rotation the new key signs, and the old one verifies; both are published', async () => {
  const before = await here.issue()
  const { kid } = await here.keys.rotate()
  const after = await here.issue()
  expect([kidOf(before), kidOf(after)]).toEqual([expect.not.stringMatching(kid), kid])
  for (const process of [here, there]) for (const token of [before, after]) expect(await process.verify(token)).toBe('user:ada')
  expect(kids(here)).toEqual([kid, ...kids(here).slice(1)])
  expect(kids(here)).toContain(kidOf(before))
  await expect.poll(() => there.keys.signing().kid).toBe(kid)
  expect(here.keys.jwks().keys).not.toContainEqual(expect.objectContaining({ d: expect.anything() }))
})

test('while keys are rotated under load no good token is refused, not even by a process that nobody told', async () => {
  const deaf = await open(await openPostgres({ connection: testSql.connection }), { isDeaf: true })
  const processes = [here, there, deaf]
  const checked: string[] = []
  let isOver = false
  const load = processes.flatMap((issuer) =>
    processes.map(async (verifier) => {
      while (!isOver) {
        checked.push(await verifier.verify(await issuer.issue()))
        await new Promise(setImmediate)
      }
    }),
  )
  // Tokens with made-up keys must not keep anybody from finding the real ones.
  const noise = (async () => {
    const [, claims, signature] = (await here.issue()).split('.')
    const header = Buffer.from(JSON.stringify({ alg: 'EdDSA', kid: 'made-up' })).toString('base64url')
    while (!isOver) await expect(deaf.verify([header, claims, signature].join('.'))).rejects.toThrow(refused)
  })()
  const rotated: string[] = []
  for (let round = 0; round < 3; round++) {
    rotated.push((await here.keys.rotate()).kid)
    const enough = checked.length + 300
    await expect.poll(() => checked.length, { timeout: 30_000 }).toBeGreaterThan(enough)
  }
  isOver = true
  await Promise.all([...load, noise])
  expect(new Set(checked)).toEqual(new Set(['user:ada']))
  expect(kids(deaf)).toEqual(expect.arrayContaining(rotated))
  await deaf.close()
  await deaf.sql.close()
})

test('an old key is taken until its last token has expired, and no longer', async () => {
  const before = await here.issue()
  await here.keys.rotate()
  await age(here.secrets, 24)
  const nearlyExpired = await open(testSql)
  expect(await nearlyExpired.verify(before)).toBe('user:ada')
  await nearlyExpired.close()
  await age(here.secrets, 2)
  const later = await open(testSql)
  await expect(later.verify(before)).rejects.toThrow(refused)
  await later.close()
})

test('a key that was stolen is distrusted at once, in every process and after a restart', async () => {
  const stolen = await here.issue()
  const { kid } = await here.keys.rotate({ distrustOld: true })
  await expect(here.verify(stolen)).rejects.toThrow(refused)
  await expect.poll(() => there.verify(stolen).catch((error) => error.code)).toBe('unauthenticated')
  expect(kids(here)).toEqual([kid])
  const { kid: next } = await here.keys.rotate()
  const restarted = await open(testSql)
  expect(kids(restarted)).toEqual([next, kid])
  await restarted.close()
})

test('an unknown key makes a process look no more than once a second', async () => {
  const list = vi.spyOn(here.secrets, 'list')
  const [, claims, signature] = (await here.issue()).split('.')
  const forged = (kid: string) => [Buffer.from(JSON.stringify({ alg: 'EdDSA', kid })).toString('base64url'), claims, signature].join('.')
  const began = performance.now()
  await Promise.all(Array.from({ length: 50 }, (_, index) => expect(here.verify(forged(`made-up-${index}`))).rejects.toThrow(refused)))
  const seconds = Math.ceil((performance.now() - began) / 1000)
  expect(list.mock.calls.length).toBeLessThanOrEqual(seconds + 1)
})
