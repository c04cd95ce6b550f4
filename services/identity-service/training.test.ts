import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { openIdentityServer } from './testing.ts'
import type { TrainingLock } from './training-lock.ts'

let identity: Awaited<ReturnType<typeof openIdentityServer>>
let acme: { tenant: string; owner: string }
beforeAll(async () => {
  identity = await openIdentityServer()
})
beforeEach(async () => {
  acme = await identity.newTenant()
})
afterAll(() => identity.close())

type Lock = TrainingLock & { code: string; details: object }
const start = (by = acme.owner, reason = 'new persona') => identity.call<Lock>('POST', '/v1/training/start', { by, body: { reason } })
const stop = (by = acme.owner, body: object = {}) => identity.call<Lock>('POST', '/v1/training/stop', { by, body })
const read = (by = acme.owner, tenant = acme.tenant) => identity.call<Lock>('GET', `/v1/training/${tenant}`, { by })

test('training mode is one’s alone, for a day, and says who holds it and why', async () => {
  expect((await read()).body).toMatchObject({ isActive: false, holder: null, token: 0 })
  const started = await start()
  expect(started).toMatchObject({ status: 201, body: { isActive: true, holder: expect.stringMatching(/^key:/), reason: 'new persona' } })
  const hours = (Date.parse(started.body.expiresAt ?? '') - Date.parse(started.body.startedAt ?? '')) / 3_600_000
  expect(hours).toBe(24)
  const other = await identity.newPerson(acme, 'ada', ['administrator'])
  expect(await start(other.accessToken)).toMatchObject({
    status: 409,
    body: { code: 'conflict', details: { holder: started.body.holder, reason: 'new persona', expiresAt: started.body.expiresAt } },
  })
  expect((await read(other.accessToken)).body).toEqual(started.body)
  expect((await stop(other.accessToken)).body).toMatchObject({ isActive: false })
  expect((await start(other.accessToken)).body).toMatchObject({ holder: `user:${other.userId}`, isActive: true })
})

test('many who start at once: one gets it', async () => {
  const answers = await Promise.all(Array.from({ length: 20 }, () => start()))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1)
  expect(answers.filter(({ status }) => status === 409)).toHaveLength(19)
})

test('it ends by itself after a day; who lost it so can not end the next one’s', async () => {
  const first = (await start()).body
  await identity.sql.platform.query('update identity.training_locks set expires_at = now() where tenant = $1', [acme.tenant])
  expect((await read()).body).toMatchObject({ isActive: false })
  expect(await stop()).toMatchObject({ status: 409 })
  const second = (await start()).body
  expect(second.token).toBeGreaterThan(first.token)
  expect(await stop(acme.owner, { token: first.token })).toMatchObject({ status: 409, body: { details: { token: second.token } } })
  expect(await stop(acme.owner, { token: second.token })).toMatchObject({ status: 200 })
})

test('it takes training.admin, and is the own tenant’s alone', async () => {
  const developer = await identity.newPerson(acme, 'dev', ['developer'])
  expect(await start(developer.accessToken)).toMatchObject({ status: 403 })
  expect((await read(developer.accessToken)).status).toBe(200)
  const globex = await identity.newTenant()
  await start()
  expect((await start(globex.owner)).status).toBe(201)
  expect(await read(globex.owner)).toMatchObject({ status: 404 })
})

test('starting and ending it are in the ledger and in the topic training.audit', async () => {
  const heard: string[] = []
  const consumer = await identity.events.consume({
    topic: 'training.audit',
    group: `test-${acme.tenant}`,
    handler: async ({ type, partitionkey }) => void (partitionkey === acme.tenant && heard.push(type)),
  })
  await start()
  await stop()
  await expect.poll(() => heard).toEqual(['soma.training.started', 'soma.training.stopped'])
  await consumer.stop()
  const entries = await identity.journal.read(acme.tenant, 'identity')
  expect(entries.map(({ kind }) => kind)).toEqual(['identity.training_started', 'identity.training_stopped'])
  expect(entries[0]?.payload).toMatchObject({ reason: 'new persona', holder: expect.stringMatching(/^key:/) })
})
