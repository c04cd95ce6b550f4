import type { Rule } from '@soma/contracts/constitution'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { z } from 'zod'
import { person, policyOf } from '../gate/testing.ts'
import type { ActionRequest } from './action-request.ts'
import { call, openTestActions } from './testing.ts'

type Source = z.input<typeof Rule>
const MAY: Source = { id: 'may', says: 'Whoever holds the capability may act.', applies: { actions: ['*'] }, decide: 'allow' }
const ASK: Source = { id: 'ask', says: 'A person must agree to this.', applies: { actions: ['*'] }, decide: 'needs_approval' }
const oblige = (...obligations: NonNullable<Source['obligations']>): Source => ({
  id: 'oblige',
  says: 'Such actions oblige to something.',
  applies: { actions: ['tool.*'] },
  decide: 'oblige',
  obligations,
})

let rules: Source[]
let world: Awaited<ReturnType<typeof openTestActions>>
beforeAll(async () => {
  world = await openTestActions({ source: { read: async () => policyOf(...rules) } })
})
beforeEach(() => {
  rules = [MAY]
  world.gate.forget('acme')
})
afterAll(() => world.close())

const entries = (request: ActionRequest) => world.journal.read('acme', `action/${request.key}`)
const kinds = async (request: ActionRequest) => (await entries(request)).map(({ kind }) => kind)
const again = (request: ActionRequest, more: Partial<ActionRequest> = {}) => world.restarted()({ ...request, mayExist: true, ...more })

test('redacted fields reach the vendor, and neither the ledger nor the caller', async () => {
  rules = [MAY, oblige({ kind: 'redact', value: { arguments: ['text'], output: ['made'] } })]
  const request = call('demo.none', { input: { text: 'hunter2' } })
  expect(await world.performAction(request)).toMatchObject({ output: { made: '[redacted]' } })
  expect(world.vendor.made.at(-1)?.text).toBe('hunter2')
  await world.decisions.flush()
  const ledger = await world.journal.tail({ after: '0', tenant: 'acme', limit: 10_000, includeUnsettled: true })
  expect(JSON.stringify(ledger)).not.toContain('hunter2')
  expect((await entries(request)).map(({ payload }) => (payload as { input: unknown }).input)).toEqual([
    { text: '[redacted]', times: 1 },
    { text: '[redacted]', times: 1 },
  ])
})

test('the same key with another value in a redacted field is the same call as far as anybody can tell; in another field it is not', async () => {
  rules = [MAY, oblige({ kind: 'redact', value: { arguments: ['text'] } })]
  const request = call('demo.none', { input: { text: 'hunter2' } })
  const { output } = await world.performAction(request)
  expect((await again(request)).output).toEqual(output)
  await expect(again(request, { input: { text: 'hunter2', times: 2 } })).rejects.toMatchObject({ code: 'conflict' })
})

test('whoever approves does not see a redacted field, and the approval is bound to it all the same', async () => {
  rules = [ASK, oblige({ kind: 'redact', value: { arguments: ['text'] } })]
  const request = call('demo.none', { input: { text: 'hunter2' } })
  const { approval } = await world.performAction(request).catch((error) => error.details)
  const asked = await world.approvals.get('acme', approval)
  expect(asked?.arguments).toEqual({ text: '[redacted]', times: 1 })
  await world.approvals.answer({ tenant: 'acme', id: approval, approve: true, by: person({ id: 'user:grace' }) })
  const other = call('demo.none', { input: { text: 'other' }, context: { approvals: [approval] } })
  await expect(world.performAction(other)).rejects.toMatchObject({ code: 'approval_required' })
  expect((await again(request)).output).toEqual({ made: 'hunter2' })
  const ledger = await world.journal.tail({ after: '0', tenant: 'acme', streamPrefix: 'approval/', limit: 10_000, includeUnsettled: true })
  expect(JSON.stringify(ledger)).not.toContain('hunter2')
})

test('a call that failed does not tell the redacted field either', async () => {
  rules = [MAY, oblige({ kind: 'redact', value: { arguments: ['text'] } })]
  const request = call('demo.refused', { input: { text: 'hunter2' } })
  await expect(world.performAction(request)).rejects.toMatchObject({ code: 'tool_failed' })
  expect(JSON.stringify(await entries(request))).not.toContain('hunter2')
})

test('a dry run says what would be, and does and intends nothing', async () => {
  rules = [MAY, oblige({ kind: 'dry_run' })]
  const made = world.vendor.made.length
  const request = call('demo.triable')
  expect(await world.performAction(request)).toMatchObject({ output: { made: 'would be x' }, dryRun: true })
  expect(world.vendor.made).toHaveLength(made)
  expect(await kinds(request)).toEqual(['action.completed'])
  expect(await again(request)).toMatchObject({ dryRun: true })
})

test('what can not be tried is refused, and nothing is done', async () => {
  rules = [MAY, oblige({ kind: 'dry_run' })]
  const made = world.vendor.made.length
  const request = call('demo.none')
  await expect(world.performAction(request)).rejects.toMatchObject({ code: 'policy_denied', details: { obligation: 'dry_run' } })
  expect(world.vendor.made).toHaveLength(made)
  expect(await kinds(request)).toEqual(['action.refused'])
})

test('a rule can take labels away from an output, those it names and no others, and the ledger says so', async () => {
  rules = [MAY, oblige({ kind: 'declassify', value: { labels: ['untrusted'] } })]
  const request = call('demo.outside', { context: { labels: ['untrusted.web', 'secret'] } })
  expect((await world.performAction(request)).labels).toEqual(['secret'])
  const [entry] = await entries(request)
  expect(entry?.payload).toMatchObject({
    labels: ['secret'],
    declassified: ['untrusted.web', 'untrusted'],
    decision: { obligations: [{ kind: 'declassify', rule: 'oblige', value: { labels: ['untrusted'] } }] },
  })
  rules = [MAY]
  world.gate.forget('acme')
  expect((await world.performAction(call('demo.outside'))).labels).toEqual(['untrusted'])
})
