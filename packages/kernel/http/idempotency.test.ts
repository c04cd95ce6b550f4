import { SomaError } from '@soma/contracts/errors'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createIdempotencyStore, type IdempotencyStore } from './idempotency.ts'
import type { Server } from './server.ts'
import { defineService } from './service.ts'
import { openTestServer } from './testing.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
let store: IdempotencyStore
beforeAll(async () => {
  sql = await openTestSql()
  store = await createIdempotencyStore(sql)
})
afterAll(() => sql.close())

describe('the store', () => {
  const ANSWER = { status: 201, headers: { location: '/v1/notes/1' }, body: '{"id":"1"}' }
  const begun = async (key: string, digest = 'd', tenant = 'acme') => {
    const first = await store.begin(tenant, key, digest)
    if (first.state !== 'fresh') throw new Error(`expected fresh, got ${first.state}`)
    return first.token
  }

  test('of many requests at once with one key, one goes on', async () => {
    const states = await Promise.all(Array.from({ length: 20 }, () => store.begin('acme', 'burst', 'd')))
    expect(states.filter(({ state }) => state === 'fresh')).toHaveLength(1)
    expect(states.filter(({ state }) => state === 'in_progress')).toHaveLength(19)
  })

  test('the same request gets the stored answer, another one is told that the key is taken', async () => {
    await store.finish('acme', 'done', await begun('done'), ANSWER)
    expect(await store.begin('acme', 'done', 'd')).toEqual({ state: 'answered', answer: ANSWER })
    expect(await store.begin('acme', 'done', 'other')).toEqual({ state: 'reused' })
  })

  test('a key of one tenant is none of another’s', async () => {
    await store.finish('acme', 'mine', await begun('mine'), ANSWER)
    expect(await store.begin('globex', 'mine', 'd')).toMatchObject({ state: 'fresh' })
    expect(await store.begin('acme', 'mine', 'd')).toMatchObject({ state: 'answered' })
  })

  test('a released key can be used again', async () => {
    await store.release('acme', 'again', await begun('again'))
    expect(await store.begin('acme', 'again', 'other')).toMatchObject({ state: 'fresh' })
  })

  test('a request that crashed may run again, and its late answer no longer counts', async () => {
    const hasty = await createIdempotencyStore(sql, { lockSeconds: 0 })
    const crashed = await hasty.begin('acme', 'crash', 'd')
    const second = await begun('crash')
    if (crashed.state === 'fresh') await store.finish('acme', 'crash', crashed.token, { ...ANSWER, body: 'late' })
    expect(await store.begin('acme', 'crash', 'd')).toMatchObject({ state: 'in_progress' })
    await store.finish('acme', 'crash', second, ANSWER)
    expect(await store.begin('acme', 'crash', 'd')).toEqual({ state: 'answered', answer: ANSWER })
  })

  test('an answer is forgotten when its time is over', async () => {
    const brief = await createIdempotencyStore(sql, { keepSeconds: 0 })
    const old = await brief.begin('acme', 'old', 'd')
    if (old.state === 'fresh') await brief.finish('acme', 'old', old.token, ANSWER)
    expect(await store.begin('acme', 'old', 'quite another')).toMatchObject({ state: 'fresh' })
    await brief.begin('acme', 'older', 'd')
    expect(await store.deleteExpired()).toBe(1)
    expect(await store.deleteExpired()).toBe(0)
  })
})

describe('writes', () => {
  let server: Server
  let made = 0
  let fails: SomaError | undefined
  let held: Promise<void> | undefined
  const things = defineService({
    name: 'things',
    summary: '',
    routes: (app) => {
      app.post(
        '/v1/things',
        {
          config: { action: { name: 'http.things.create', capability: 'things.create', effect: 'write' } },
          schema: { body: z.object({ name: z.string() }), response: { 201: z.object({ id: z.number(), key: z.string().optional() }) } },
        },
        async (request, reply) => {
          made++
          await held
          if (fails) throw fails
          return reply.code(201).header('location', `/v1/things/${made}`).send({ id: made, key: request.idempotencyKey })
        },
      )
      app.post(
        '/v1/secrets',
        { config: { action: { name: 'http.secrets.create', capability: 'secrets.create', effect: 'write' }, idempotency: false } },
        async () => ({ secret: 'shown once' }),
      )
    },
  })
  beforeAll(async () => {
    server = await openTestServer([things], { idempotency: store })
  })
  afterAll(() => server.close())
  const post = (key: string | undefined, name: string, caller = 'acme/ada', url = '/v1/things') =>
    server.app.inject({
      method: 'POST',
      url,
      headers: { authorization: `Bearer ${caller}`, ...(key ? { 'idempotency-key': key } : {}) },
      payload: { name },
    })

  test('a request that is sent twice happens once and is answered twice', async () => {
    const before = made
    const first = await post('k1', 'a')
    const second = await post('k1', 'a')
    expect(made).toBe(before + 1)
    expect(first.json()).toMatchObject({ key: 'k1' })
    expect([second.statusCode, second.body, second.headers.location]).toEqual([201, first.body, first.headers.location])
    expect(second.headers['content-type']).toBe(first.headers['content-type'])
    expect([first.headers['idempotency-replayed'], second.headers['idempotency-replayed']]).toEqual([undefined, 'true'])
  })

  test('without a key every request happens', async () => {
    const before = made
    await post(undefined, 'a')
    await post(undefined, 'a')
    expect(made).toBe(before + 2)
  })

  test('a key with another body, or from another caller, is refused', async () => {
    await post('k2', 'a')
    expect((await post('k2', 'b')).json()).toMatchObject({ code: 'idempotency_key_reused', status: 422 })
    expect((await post('k2', 'a', 'acme/bob')).json()).toMatchObject({ code: 'idempotency_key_reused' })
    expect((await post('k2', 'a', 'globex/eve')).statusCode).toBe(201)
  })

  test('while the first is under way the second is asked to come back', async () => {
    let go: () => void = () => undefined
    held = new Promise((resolve) => {
      go = resolve
    })
    const before = made
    const first = post('k3', 'a')
    await expect.poll(() => made).toBe(before + 1)
    const second = await post('k3', 'a')
    expect(second.json()).toMatchObject({ code: 'conflict', status: 409 })
    expect(Number(second.headers['retry-after'])).toBeGreaterThan(0)
    go()
    held = undefined
    expect((await first).statusCode).toBe(201)
    expect((await post('k3', 'a')).statusCode).toBe(201)
    expect(made).toBe(before + 1)
  })

  test('a refusal is an answer and stays; "not now" is none and may be tried again', async () => {
    fails = new SomaError('conflict', 'There is one by that name.')
    const refused = await post('k4', 'a')
    fails = new SomaError('dependency_unavailable', 'Not now.')
    const unavailable = await post('k5', 'a')
    fails = new SomaError('disk_full', 'No space.')
    const full = await post('k5-full', 'a')
    fails = undefined
    expect([refused.statusCode, unavailable.statusCode, full.statusCode]).toEqual([409, 503, 507])
    const again = await post('k4', 'a')
    expect([again.statusCode, again.json().code, again.headers['content-type']]).toEqual([409, 'conflict', 'application/problem+json'])
    for (const key of ['k5', 'k5-full']) expect((await post(key, 'a')).statusCode).toBe(201)
  })

  test('an answer that can not be kept is kept as soon as it can be, and so is that there was none', async () => {
    let isAway = true
    const when = <Arguments extends unknown[]>(work: (...given: Arguments) => Promise<void>) => {
      return (...given: Arguments) => (isAway ? Promise.reject(new Error('No space left on device')) : work(...given))
    }
    const idempotency = { ...store, finish: when(store.finish), release: when(store.release) }
    const other = await openTestServer([things], { idempotency })
    const ask = (key: string) =>
      other.app.inject({
        method: 'POST',
        url: '/v1/things',
        headers: { authorization: 'Bearer acme/ada', 'idempotency-key': key },
        payload: { name: 'a' },
      })
    const before = made
    const first = await ask('k7')
    fails = new SomaError('disk_full', 'No space.')
    await ask('k7-refused')
    fails = undefined
    expect([(await ask('k7')).statusCode, (await ask('k7-refused')).statusCode]).toEqual([409, 409])
    isAway = false
    await expect.poll(async () => (await ask('k7')).body).toBe(first.body)
    await expect.poll(async () => (await ask('k7-refused')).statusCode).toBe(201)
    expect(made).toBe(before + 3)
    await other.close()
  })

  test('an answer that holds a secret is never stored', async () => {
    expect((await post('k6', 'a', 'acme/ada', '/v1/secrets')).json()).toMatchObject({ code: 'invalid_input' })
    expect((await post(undefined, 'a', 'acme/ada', '/v1/secrets')).json()).toEqual({ secret: 'shown once' })
  })

  test('a key that can not be one is refused', async () => {
    expect((await post('x'.repeat(256), 'a')).json()).toMatchObject({ code: 'invalid_input' })
    expect((await post('two words', 'a')).json()).toMatchObject({ code: 'invalid_input' })
  })
})
