import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPlatformProcesses, type PlatformProcesses } from '../stack/platform-process.ts'

/** Works in its own folder, and waits for a person, so that it is open as long as a test needs it. */
const WAITING = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: waiting, version: 1.0.0, summary: Waits }
permissions: { tools: [files.write, files.read] }
budget: { calls: 3 }
outputs: { value: { by: "\${{ steps.ask.by }}" } }
steps:
  - { id: ask, approval: { message: "Go on?" } }
`
/** Asks a person, and then writes. */
const WRITING = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: writing, version: 1.0.0, summary: Writes }
permissions: { tools: [files.write] }
outputs: { value: { done: "\${{ steps.write.path }}" } }
steps:
  - { id: ask, approval: { message: "Go on?" } }
  - { id: write, needs: [ask], tool: files.write, with: { path: a.txt, content: "\${{ steps.ask.by }}" } }
`
const SHORT = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: short, version: 1.0.0, summary: Ends at once }
outputs: { value: { one: "\${{ steps.one }}" } }
steps:
  - { id: one, value: "\${{ 1 }}" }
`

interface Answer {
  status: number
  body: Record<string, unknown> & { code?: string; token: string; key: string; runId: string; accessToken: string; userId: string }
}
let platform: PlatformProcesses
let url: string
let elsewhere: string
beforeAll(async () => {
  platform = await openPlatformProcesses()
  url = (await platform.start([])).url
  elsewhere = (await platform.start(['gateway-api', 'identity-service', 'constitution-service', 'policy-engine'])).url
  for (const [name, yaml] of Object.entries({ waiting: WAITING, writing: WRITING, short: SHORT })) {
    expect((await call('/v1/capsules', { body: { yaml } })).status).toBe(201)
    expect((await call(`/v1/capsules/${name}/1.0.0/sign`, { body: {} })).status).toBe(200)
  }
})
afterAll(() => platform.close())

async function call(
  path: string,
  { by, body, at = url, method }: { by?: string; body?: object; at?: string; method?: string } = {},
): Promise<Answer> {
  const headers: Record<string, string> = by ? { authorization: `Bearer ${by}` } : {}
  const answer = await platform.call(at, path, { body, headers, method })
  return { status: answer.status, body: (await answer.json()) as Answer['body'] }
}
const startRun = async (by?: string, capsule = 'waiting') =>
  (await call('/v1/runs', { by, body: { capsule, version: '1.0.0' } })).body.runId
const agentToken = (run: string, by?: string, body: object = {}) => call(`/v1/runs/${run}/tokens`, { by, body })
const execute = (by: string, operation: string, input: object) => call(`/v1/operations/${operation}/execute`, { by, body: { input } })
const isGood = async (by: string, at = url) => (await call('/v1/me', { by, at })).status === 200
const cancel = (run: string) => call(`/v1/runs/${run}/cancel`, { body: {} })

async function newPerson(roles: string[]) {
  const email = `${randomUUID()}@example.org`
  const { body } = await call('/v1/invitations', { body: { email, roles } })
  return (await call('/v1/invitations/accept', { body: { token: body.token, password: 'correct horse battery staple' } })).body
}

describe('the token of a run', () => {
  let run: string
  let token: string
  beforeAll(async () => {
    run = await startRun()
    token = (await agentToken(run)).body.token
  })

  test('stands for an agent that acts for who started the run, never for that one', async () => {
    const { body } = await call('/v1/me', { by: token })
    expect(body).toMatchObject({ id: 'agent:waiting', kind: 'agent', run, onBehalfOf: expect.stringMatching(/^key:/) })
    expect(body).not.toHaveProperty('session')
    expect(await isGood(token, elsewhere)).toBe(true)
  })

  test('does what the capsule names, and nothing else, though who started it may everything', async () => {
    expect((await execute(token, 'files.write', { path: 'a.txt', content: 'made by the agent' })).status).toBe(200)
    expect((await execute(token, 'files.read', { path: 'a.txt' })).body).toMatchObject({ output: { content: 'made by the agent' } })
    const attempts = [
      // Of the same adapter, with a capability that the capsule's limit covers.
      await execute(token, 'files.delete', { path: 'a.txt' }),
      await execute(token, 'files.list', { path: '.' }),
      await execute(token, 'git.log', { repository: '/' }),
      await execute(token, 'http.get', { url: 'https://example.org' }),
      await call('/v1/runs', { by: token, body: { capsule: 'waiting', version: '1.0.0' } }),
      await call('/v1/projects', { by: token, body: { template: 'repository-health' } }),
      await call('/v1/capsules', { by: token, body: { yaml: WAITING } }),
      await call('/v1/kill-switches', { by: token, body: { scope: 'tenant', reason: 'x' } }),
      await call('/v1/users', { by: token }),
      await call('/v1/budgets', { by: token }),
    ]
    for (const { status, body } of attempts) expect({ status, code: body.code }).toEqual({ status: 403, code: 'forbidden' })
  })

  test('can not be exchanged for more: no wider token, no key, no other run’s token, no longer life', async () => {
    const [own, other] = [await startRun(), await startRun()]
    const by = (await agentToken(own)).body.token
    const exchanged = await call('/v1/tokens', { by, body: { capabilities: ['*'], ttlSeconds: 86_400 } })
    expect(exchanged).toMatchObject({ status: 201, body: { expiresInSeconds: 300 } })
    expect((await call('/v1/me', { by: exchanged.body.token })).body).toMatchObject({ kind: 'agent', run: own })
    expect((await execute(exchanged.body.token, 'files.delete', { path: 'a.txt' })).body.code).toBe('forbidden')
    const attempts = [
      await call('/v1/api-keys', { by, body: { name: 'k', capabilities: ['me.read'] } }),
      await agentToken(other, by),
      await agentToken(own, by),
      await call('/v1/invitations', { by, body: { email: 'x@example.org', roles: ['viewer'] } }),
      await call('/v1/auth/step-up', { by, body: { code: '123456' } }),
    ]
    for (const { status, body } of attempts) expect({ status, code: body.code }).toEqual({ status: 403, code: 'forbidden' })

    // Both die with the run.
    expect([await isGood(by), await isGood(exchanged.body.token, elsewhere)]).toEqual([true, true])
    await cancel(own)
    await expect.poll(async () => (await call('/v1/me', { by })).body.code).toBe('unauthenticated')
    for (const each of [by, exchanged.body.token]) expect([await isGood(each), await isGood(each, elsewhere)]).toEqual([false, false])
    await cancel(other)
  })

  test('spends the run’s budget, and no more than that', async () => {
    const fresh = await startRun()
    const by = (await agentToken(fresh)).body.token
    const answers = []
    for (let index = 0; index < 4; index++) answers.push(await execute(by, 'files.write', { path: `${index}.txt`, content: 'x' }))
    expect(answers.map(({ status, body }) => body.code ?? status)).toEqual([200, 200, 200, 'budget_exceeded'])
    await cancel(fresh)
  })

  test('dies with the run, in every process', async () => {
    expect([await isGood(token), await isGood(token, elsewhere)]).toEqual([true, true])
    await cancel(run)
    await expect.poll(async () => (await call('/v1/me', { by: token })).body.code).toBe('unauthenticated')
    expect(await isGood(token, elsewhere)).toBe(false)
    expect(await agentToken(run)).toMatchObject({ status: 409, body: { code: 'conflict' } })
  })
})

test('a run that has ended, one that there is not, and one that is no capsule’s give no token', async () => {
  const ended = await startRun(undefined, 'short')
  await expect.poll(async () => (await call(`/v1/runs/${ended}`)).body.status).toBe('completed')
  expect(await agentToken(ended)).toMatchObject({ status: 409 })
  expect(await agentToken('run-none')).toMatchObject({ status: 404 })
})

test('a token is bound by whoever asks for it as well', async () => {
  const run = await startRun()
  const { key } = (
    await call('/v1/api-keys', { body: { name: 'worker', capabilities: ['run.token', 'tool.call', 'tool.files.read', 'me.read'] } })
  ).body
  const { token } = (await agentToken(run, key)).body
  expect((await execute(token, 'files.write', { path: 'b.txt', content: 'x' })).body.code).toBe('forbidden')
  await cancel(run)
})

test('a run’s token ends when the person who started it is disabled, and loses what that person loses', async () => {
  const ada = await newPerson(['developer', 'operator'])
  const bob = await newPerson(['developer', 'operator'])
  const [ofAda, ofBob] = [await startRun(ada.accessToken), await startRun(bob.accessToken)]
  const [tokenOfAda, tokenOfBob] = [(await agentToken(ofAda)).body.token, (await agentToken(ofBob)).body.token]
  expect((await execute(tokenOfAda, 'files.write', { path: 'c.txt', content: 'x' })).status).toBe(200)
  await call(`/v1/users/${ada.userId}`, { method: 'PATCH', body: { isActive: false } })
  await call(`/v1/users/${bob.userId}`, { method: 'PATCH', body: { roles: ['viewer'] } })
  expect([await isGood(tokenOfAda), await isGood(tokenOfBob)]).toEqual([false, false])
  // A new one is to be had, but it holds what is left; of who was disabled, none.
  const left = (await agentToken(ofBob)).body.token
  expect((await execute(left, 'files.write', { path: 'd.txt', content: 'x' })).body.code).toBe('forbidden')
  expect(await agentToken(ofAda)).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  for (const run of [ofAda, ofBob]) await cancel(run)
})

test('the steps of a run end when the person who started it is disabled, and lack what that person lacks', async () => {
  for (const [change, why] of [
    [{}, undefined],
    [{ isActive: false }, 'was disabled'],
    [{ roles: ['viewer'] }, 'does not hold tool.files.write'],
  ] as const) {
    const ada = await newPerson(['developer', 'operator'])
    const run = await startRun(ada.accessToken, 'writing')
    const pending = async () => (await call(`/v1/approvals?run=${run}`)).body.items as { id: string }[]
    await expect.poll(pending).toHaveLength(1)
    await call(`/v1/users/${ada.userId}`, { method: 'PATCH', body: { name: 'Ada', ...change } })
    const [approval] = await pending()
    expect((await call(`/v1/approvals/${approval?.id}`, { body: { approve: true } })).status).toBe(200)
    await expect.poll(async () => (await call(`/v1/runs/${run}`)).body.status).not.toBe('running')
    const { status, error } = (await call(`/v1/runs/${run}`)).body as { status?: string; error?: { code: string; message: string } }
    if (why === undefined) expect(status).toBe('completed')
    else expect(error).toMatchObject({ code: 'forbidden', message: expect.stringContaining(why) })
  }
})

test('a person who signs out leaves the runs that go on', async () => {
  const ada = await newPerson(['developer', 'operator'])
  const run = await startRun(ada.accessToken)
  await call('/v1/auth/sign-out', { by: ada.accessToken, body: {} })
  const { token } = (await agentToken(run)).body
  expect((await execute(token, 'files.write', { path: 'e.txt', content: 'x' })).status).toBe(200)
  await cancel(run)
})
