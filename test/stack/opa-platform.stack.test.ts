import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { opa } from '@soma/stack/servers/opa'
import { openStack, type Stack } from '@soma/stack/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openPlatformProcesses, type PlatformProcesses } from './platform-process.ts'

const STRICTER = `apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: own, version: 1.0.0 }
rules:
  - id: no-budgets
    says: Nobody looks at budgets here.
    applies: { actions: [http.budgets.*] }
    decide: deny
`
let stack: Stack
let platform: PlatformProcesses
let url: string
beforeAll(async () => {
  stack = openStack([opa], await mkdtemp(join(tmpdir(), 'soma-opa-')))
  await stack.up(['opa'])
  platform = await openPlatformProcesses({ ...(await stack.env()), SOMA_DRIVERS_POLICY: 'opa' })
  url = (await platform.start([])).url
})
afterAll(async () => {
  await platform?.close()
  await stack?.remove()
})

const ask = async (path: string, body?: unknown) => {
  const answer = await platform.call(url, path, { body })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** On a busy machine OPA may not answer in time; then the answer is no, and nothing has happened. */
async function answerOf(path: string, body?: unknown) {
  let answer = await ask(path, body)
  await expect
    .poll(async () => {
      if (answer.status === 503) answer = await ask(path, body)
      return answer.status
    })
    .not.toBe(503)
  return answer
}

test('the platform starts with an OPA that has no bundle yet, and is open as soon as it has', async () => {
  expect((await answerOf('/v1/budgets')).status).toBe(200)
})

test('a constitution that is published is in force at the next request', async () => {
  const { body: proposal } = await answerOf('/v1/constitution/proposals', { yaml: STRICTER, note: 'Nobody needs to.' })
  expect((await answerOf(`/v1/constitution/proposals/${proposal.id}/publish`, {})).status).toBe(201)
  const { status, body } = await answerOf('/v1/budgets')
  expect({ status, code: body.code, detail: body.detail }).toEqual({
    status: 403,
    code: 'policy_denied',
    detail: 'http.budgets.list is not allowed. Nobody looks at budgets here.',
  })
})

test('nobody but the platform learns whose rules there are', async () => {
  expect((await answerOf('/v1/constitution/tenants')).status).toBe(403)
})

test('without OPA nothing is allowed; with it again everything goes on by itself', async () => {
  await stack.down(['opa'], { signal: 'SIGKILL' })
  expect(await ask('/v1/constitution')).toMatchObject({ status: 503, body: { code: 'policy_unavailable' } })
  await stack.up(['opa'])
  expect((await answerOf('/v1/constitution')).status).toBe(200)
})
