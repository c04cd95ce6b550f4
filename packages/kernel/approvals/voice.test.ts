import type { ApprovalTerms } from '@soma/contracts/approval-terms'
import type { Principal } from '@soma/contracts/tenant'
import { expect, test } from 'vitest'
import type { KnownPeople } from '../auth/people.ts'
import type { Approval } from './approval.ts'
import { named, PUSH, TERMS } from './testing.ts'
import { voiceOf } from './voice.ts'

const approval = (more: Partial<Approval> = {}): Approval => ({
  id: 'a1',
  action: PUSH.name,
  effect: 'write',
  resource: {},
  summary: 'Push?',
  arguments: {},
  labels: [],
  digest: 'd',
  reasons: [],
  terms: TERMS,
  requestedBy: 'agent:coder.v1',
  onBehalfOf: 'user:ada',
  status: 'pending',
  requestedAt: '2026-01-01T00:00:00.000Z',
  expiresAt: '2026-01-02T00:00:00.000Z',
  words: [],
  ...more,
})
const known: KnownPeople = { behind: (id) => id, capabilitiesOf: () => undefined, isAlone: () => false }
const voice = async (by: Principal, more: Partial<Parameters<typeof voiceOf>[0]> = {}) =>
  voiceOf({ approval: approval(), by, approve: true, delegations: [], known, ...more })

test('no agent and no process of the platform answers, whatever it holds', async () => {
  for (const by of [
    named('x', { id: 'agent:coder.v1', kind: 'agent' }),
    named('x', { id: 'user:x', kind: 'agent' }),
    named('x', { id: 'service:gate', kind: 'service' }),
  ])
    for (const approve of [true, false])
      await expect(voice(by, { approve })).rejects.toMatchObject({ code: 'forbidden', message: expect.stringMatching(/is no person/) })
})

test('a person needs approval.decide', async () => {
  expect(await voice(named('grace', { capabilities: ['approval.decide'] }))).toEqual({ by: 'user:grace' })
  for (const lacking of [{ capabilities: [] }, { capabilities: ['approval.read'] }, { within: [['tool.*']] }])
    await expect(voice(named('grace', lacking))).rejects.toMatchObject({ code: 'forbidden', details: { capability: 'approval.decide' } })
})

test('who asked, by an agent or in person, does not approve: never, unless alone, or always, as the terms have it', async () => {
  const outcome = async (self: ApprovalTerms['self'], isAlone: boolean) =>
    voice(named('ada'), { approval: approval({ terms: { ...TERMS, self } }), known: { ...known, isAlone: () => isAlone } }).then(
      () => 'counts',
      ({ code }) => code,
    )
  expect(await outcome('never', true)).toBe('forbidden')
  expect(await outcome('alone', true)).toBe('counts')
  expect(await outcome('alone', false)).toBe('forbidden')
  expect(await outcome('always', false)).toBe('counts')
  const inPerson = approval({ requestedBy: 'user:ada', onBehalfOf: undefined })
  await expect(voice(named('ada'), { approval: inPerson })).rejects.toMatchObject({ code: 'forbidden', details: { askedBy: 'user:ada' } })
})

test('who asked may take it back', async () => {
  expect(await voice(named('ada', { capabilities: ['approval.decide'] }), { approve: false })).toEqual({ by: 'user:ada' })
})
