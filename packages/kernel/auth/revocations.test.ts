import type { Broadcast } from '@soma/ports/broadcast/port'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import type { Sql } from '@soma/ports/sql/port'
import { openPostgres } from '@soma/ports/sql/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openRevocations, type ShownToken } from './revocations.ts'

type Opened = Awaited<ReturnType<typeof open>>

let testSql: Awaited<ReturnType<typeof openTestSql>>
let here: Opened
let there: Opened
beforeAll(async () => {
  testSql = await openTestSql()
  here = await open(testSql)
  there = await open(await openPostgres({ connection: testSql.connection }))
})
afterAll(async () => {
  await here.close()
  await there.close()
  await there.sql.close()
  await testSql.close()
})

/** The revocations as another process has them: connections of its own. */
async function open(sql: Sql, change: (broadcast: Broadcast) => Broadcast = (broadcast) => broadcast) {
  const broadcast = change(await openPostgresBroadcast(sql))
  const revocations = await openRevocations({ sql, broadcast })
  return {
    sql,
    ...revocations,
    close: async () => {
      await revocations.close()
      await broadcast.close()
    },
  }
}

let made = 0
/** A token that nothing was said about yet. */
const newToken = (more: Partial<ShownToken> = {}): ShownToken => {
  made++
  return { tenant: 'acme', id: `t${made}`, principal: `user:${made}`, session: `s${made}`, issuedAt: Date.now() / 1000, ...more }
}
const later = () => new Date(Date.now() + 3_600_000)
const refused = expect.objectContaining({ code: 'unauthenticated', message: expect.stringContaining('revoked') })
const isGood = (opened: Pick<Opened, 'assertGood'>, token: ShownToken) =>
  opened.assertGood(token).then(
    () => true,
    () => false,
  )

test('a token, a session and a principal are revoked here at once and elsewhere soon, and no other is', async () => {
  for (const kind of ['token', 'session', 'principal'] as const) {
    const token = newToken()
    const value = { token: token.id, session: token.session as string, principal: token.principal }[kind]
    await here.assertGood(token)
    await here.revoke({ tenant: 'acme', kind, value, until: later() })
    await expect(here.assertGood(token)).rejects.toThrow(refused)
    await expect.poll(() => isGood(there, token)).toBe(false)
    await there.assertGood(newToken())
    await there.assertGood({ ...token, tenant: 'globex' })
  }
})

test('what was issued before a moment is revoked, what is issued after it is good', async () => {
  const before = newToken()
  await here.revoke({ tenant: 'acme', kind: 'principal', value: before.principal, issuedBefore: new Date(), until: later() })
  await expect(here.assertGood(before)).rejects.toThrow(refused)
  await expect(here.assertGood({ ...before, issuedAt: undefined })).rejects.toThrow(refused)
  await here.assertGood({ ...before, issuedAt: Date.now() / 1000 + 0.002 })
  expect(await here.isShutOut('acme', before.principal)).toBe(false)
})

test('who is shut out stays so, with the agents that act for them, until let in again; earlier tokens do not come back', async () => {
  const person = newToken()
  const agent = newToken({ onBehalfOf: person.principal })
  await here.revoke({ tenant: 'acme', kind: 'principal', value: person.principal })
  for (const token of [person, agent, { ...person, issuedAt: Date.now() / 1000 + 86_400 }])
    await expect(here.assertGood(token)).rejects.toThrow(refused)
  expect(await here.isShutOut('acme', person.principal)).toBe(true)
  await expect.poll(() => there.isShutOut('acme', person.principal)).toBe(true)

  await here.letIn('acme', person.principal)
  expect(await here.isShutOut('acme', person.principal)).toBe(false)
  await expect.poll(() => there.isShutOut('acme', person.principal)).toBe(false)
  await expect(here.assertGood(person)).rejects.toThrow(refused)
  await here.assertGood({ ...person, issuedAt: Date.now() / 1000 + 1 })
})

test('a later revocation never shortens an earlier one', async () => {
  const token = newToken()
  await here.revoke({ tenant: 'acme', kind: 'principal', value: token.principal })
  await here.revoke({ tenant: 'acme', kind: 'principal', value: token.principal, issuedBefore: new Date(0), until: new Date() })
  expect(await here.isShutOut('acme', token.principal)).toBe(true)
})

test('revocations are there again after a restart, and are forgotten when nothing they cover can be valid', async () => {
  const [kept, expired] = [newToken(), newToken()]
  await here.revoke({ tenant: 'acme', kind: 'token', value: kept.id, until: later() })
  await here.revoke({ tenant: 'acme', kind: 'token', value: expired.id, until: new Date(Date.now() - 1) })
  const restarted = await open(testSql)
  await expect(restarted.assertGood(kept)).rejects.toThrow(refused)
  await restarted.assertGood(expired)
  await restarted.close()
})

test('a process that no broadcast reaches learns of it by looking', async () => {
  const deaf = await open(testSql, (broadcast) => ({ ...broadcast, subscribe: async () => async () => undefined }))
  const token = newToken()
  await deaf.assertGood(token)
  const began = performance.now()
  await here.revoke({ tenant: 'acme', kind: 'token', value: token.id, until: later() })
  await expect.poll(() => isGood(deaf, token), { interval: 20 }).toBe(false)
  expect(performance.now() - began).toBeLessThan(5000)
  await deaf.close()
})

test('many at once are all kept', async () => {
  const tokens = Array.from({ length: 300 }, () => newToken())
  await Promise.all(tokens.map(({ id }) => here.revoke({ tenant: 'acme', kind: 'token', value: id, until: later() })))
  for (const token of tokens) await expect(here.assertGood(token)).rejects.toThrow(refused)
  await expect.poll(async () => (await Promise.all(tokens.map((token) => isGood(there, token)))).filter(Boolean)).toEqual([])
})

test('when nobody can tell whether a token was revoked it is not taken, and is again as soon as somebody can', async () => {
  const sql = await openTestSql()
  let answer: undefined | (() => Promise<never>)
  const query = (...statement: Parameters<typeof sql.platform.query>) => (answer ? answer() : sql.platform.query(...statement))
  const opened = await open({ ...sql, platform: { ...sql.platform, query: query as typeof sql.platform.query } })
  const token = newToken()
  await opened.assertGood(token)
  answer = () => Promise.reject(new Error('connection refused'))
  const began = performance.now()
  await expect.poll(() => isGood(opened, token), { timeout: 30_000 }).toBe(false)
  // A memory that is younger than five seconds still serves.
  expect(performance.now() - began).toBeGreaterThan(3500)
  await expect(opened.assertGood(token)).rejects.toMatchObject({ code: 'dependency_unavailable', details: { retryAfterSeconds: 2 } })
  answer = undefined
  await opened.assertGood(token)
  await opened.close()
  await sql.close()
})

test('a database that does not answer is not waited for', async () => {
  const sql = await openTestSql()
  let isSilent = false
  const query = (...statement: Parameters<typeof sql.platform.query>) =>
    isSilent ? new Promise(() => undefined) : sql.platform.query(...statement)
  const opened = await open({ ...sql, platform: { ...sql.platform, query: query as typeof sql.platform.query } })
  isSilent = true
  const answer = () =>
    opened.assertGood(newToken()).then(
      () => 'good',
      (error) => error.code,
    )
  await expect.poll(answer, { timeout: 30_000 }).toBe('dependency_unavailable')
  await opened.close()
  await sql.close()
})
