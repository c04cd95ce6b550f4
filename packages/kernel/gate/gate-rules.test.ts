import type { Rule } from '@soma/contracts/constitution'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { createGate } from './gate.ts'
import type { GateRequest } from './gate-request.ts'
import { openTestGate, person, policyOf, toolCall } from './testing.ts'

type Source = z.input<typeof Rule>
const MAY: Source = { id: 'may', says: 'Whoever holds the capability may act.', applies: { actions: ['*'] }, decide: 'allow' }
const rules = new Map<string, ReturnType<typeof policyOf>>()
const source = { read: async (tenant: string) => rules.get(tenant) ?? policyOf(MAY) }

let world: Awaited<ReturnType<typeof openTestGate>>
let other: Awaited<ReturnType<typeof openTestGate>>
beforeAll(async () => {
  world = await openTestGate({ source })
  // Another process on the same database.
  other = await openTestGate({ source, sql: world.sql })
})
afterAll(async () => {
  await other.close()
  await world.close()
})

let tenants = 0
/** A question of a new tenant that has these rules, and `may`. */
function asking(added: Source[], more: Partial<GateRequest> & { principal?: GateRequest['principal'] } = {}): GateRequest {
  const tenant = `ruled-${tenants++}`
  rules.set(tenant, policyOf(MAY, ...added))
  return { action: toolCall('demo.write'), context: {}, ...more, principal: { ...(more.principal ?? person()), tenant } }
}
const oblige = (...obligations: NonNullable<Source['obligations']>): Source => ({
  id: 'oblige',
  says: 'Such actions oblige to something.',
  applies: { actions: ['tool.*'] },
  decide: 'oblige',
  obligations,
})

describe('what a rule obliges to', () => {
  test('a second factor: who has shown none is told so, and how long ago it may have been', async () => {
    const request = asking([oblige({ kind: 'require_mfa', value: { within: '15m' } })])
    const { principal } = request
    const now = Math.floor(Date.now() / 1000)
    for (const shown of [{}, { mfa: false, mfaAt: now }, { mfa: true }, { mfa: true, mfaAt: now - 901 }])
      await expect(world.gate.pass({ ...request, principal: { ...principal, ...shown } }), JSON.stringify(shown)).rejects.toMatchObject({
        code: 'mfa_required',
        details: { maxAgeSeconds: 900, rule: 'oblige' },
      })
    const sure = { ...principal, mfa: true, mfaAt: now - 60 }
    expect((await world.gate.pass({ ...request, principal: sure })).verdict).toBe('allow')
  })

  test('a second factor at any time before, when the rule does not say when', async () => {
    const request = asking([oblige({ kind: 'require_mfa' })])
    await expect(world.gate.pass(request)).rejects.toMatchObject({ code: 'mfa_required' })
    await world.gate.pass({ ...request, principal: { ...request.principal, mfa: true } })
  })

  test('a reason: without one the answer is no; with one it is in the ledger', async () => {
    const request = asking([oblige({ kind: 'require_reason' })])
    for (const reason of [undefined, '', '  '])
      await expect(world.gate.pass({ ...request, context: { reason } })).rejects.toMatchObject({
        code: 'policy_denied',
        details: { obligation: 'require_reason' },
      })
    await world.gate.pass({ ...request, context: { reason: 'incident 42' } })
    await world.decisions.flush()
    const { tenant } = request.principal
    const entries = await world.journal.tail({ after: '0', tenant, kinds: ['gate.decided'], includeUnsettled: true })
    expect(entries.map(({ payload }) => payload).at(-1)).toMatchObject({
      context: { reason: 'incident 42' },
      decision: { verdict: 'allow', obligations: [{ kind: 'require_reason', rule: 'oblige' }] },
    })
    // What could not go ahead is no "yes" in the ledger.
    expect(entries.map(({ payload }) => (payload as { decision: { verdict: string } }).decision.verdict)).toEqual([
      'deny',
      'deny',
      'deny',
      'allow',
    ])
  })

  test.each(['redact', 'dry_run', 'declassify'] as const)('%s: only on a road that says it does it', async (kind) => {
    const value = { redact: { output: ['token'] }, dry_run: undefined, declassify: { labels: ['untrusted'] } }[kind]
    const request = asking([oblige({ kind, ...(value && { value }) } as never)])
    await expect(world.gate.pass(request)).rejects.toMatchObject({ code: 'policy_denied', details: { obligation: kind } })
    expect((await world.gate.ask(request)).verdict).toBe('deny')
    expect((await world.gate.pass({ ...request, meets: [kind] })).verdict).toBe('allow')
  })

  test('an obligation that nobody knows stops the action', async () => {
    const request = asking([])
    const lying = await openTestGate({ source, sql: world.sql })
    const decide = lying.policy.decide
    lying.policy.decide = async (input) => ({ ...(await decide(input)), obligations: [{ kind: 'whistle' }] })
    await expect(lying.gate.pass(request)).rejects.toMatchObject({ code: 'policy_denied', message: expect.stringContaining('"whistle"') })
    lying.policy.decide = async (input) => ({ ...(await decide(input)), obligations: [{ kind: 'redact', value: 'everything' }] })
    await expect(lying.gate.pass({ ...request, meets: ['redact'] })).rejects.toMatchObject({ code: 'policy_denied' })
    await lying.close()
  })
})

describe('limits', () => {
  const few = (more: Partial<Source> = {}): Source => ({
    id: 'few',
    says: 'At most five of these in an hour.',
    applies: { actions: ['tool.demo.*'], effects: ['write'] },
    decide: 'deny',
    limit: { most: 5, within: '1h' },
    ...more,
  })
  const allowed = async (gate: typeof world.gate, request: GateRequest) =>
    gate.pass(request).then(
      () => true,
      () => false,
    )

  test('of many at once in two processes exactly as many go ahead as the limit says, and no more after a restart', async () => {
    const request = asking([few()])
    const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => allowed((index % 2 ? world : other).gate, request)))
    expect(answers.filter(Boolean)).toHaveLength(5)
    const restarted = await openTestGate({ source, sql: world.sql })
    await expect(restarted.gate.pass(request)).rejects.toMatchObject({ code: 'policy_denied', details: { reasons: [{ rule: 'few' }] } })
    await restarted.close()
  })

  test('what no longer lies within the time does not count', async () => {
    const request = asking([few({ limit: { most: 2, within: '1h' } })])
    const { tenant } = request.principal
    for (let index = 0; index < 2; index++) await world.gate.pass(request)
    expect(await allowed(world.gate, request)).toBe(false)
    const age = (minutes: number) =>
      world.sql
        .tenant(tenant)
        .query(`update gate.limits set taken[1] = taken[1] - make_interval(mins => $2) where tenant = $1`, [tenant, minutes])
    await age(59)
    expect(await allowed(world.gate, request)).toBe(false)
    await age(2)
    expect(await allowed(world.gate, request)).toBe(true)
    expect(await allowed(world.gate, request)).toBe(false)
  })

  test('each principal, project or run has a count of its own when the rule says so', async () => {
    const request = asking([few({ limit: { most: 1, within: '1h', per: 'run' } })])
    const inRun = (run: string) => allowed(world.gate, { ...request, context: { run } })
    expect([await inRun('r1'), await inRun('r2'), await inRun('r1')]).toEqual([true, true, false])
    const byPerson = asking([few({ limit: { most: 1, within: '1h', per: 'principal' } })])
    const as = (id: string) => allowed(world.gate, { ...byPerson, principal: { ...byPerson.principal, id } })
    expect([await as('user:ada'), await as('user:bob'), await as('user:ada')]).toEqual([true, true, false])
  })

  test('counts of runs that are long over are dropped', async () => {
    const request = asking([few({ limit: { most: 1, within: '1h', per: 'run' } })])
    const { tenant } = request.principal
    const subjects = async () =>
      (await world.sql.tenant(tenant).query('select subject from gate.limits order by subject')).rows.map((row) => row.subject)
    for (const run of ['r1', 'r2']) await world.gate.pass({ ...request, context: { run } })
    await world.sql.tenant(tenant).query(`update gate.limits set taken[1] = taken[1] - interval '2 hours' where subject = 'r1'`)
    await world.gate.pass({ ...request, context: { run: 'r3' } })
    expect(await subjects()).toEqual(['r2', 'r3'])
  })

  test('beyond a limit a person can be asked, and what is refused for another reason is not counted', async () => {
    const request = asking([few({ decide: 'needs_approval', limit: { most: 1, within: '1h' } }), oblige({ kind: 'require_reason' })])
    expect(await allowed(world.gate, request)).toBe(false)
    const context = { reason: 'because' }
    expect(await allowed(world.gate, { ...request, context })).toBe(true)
    await expect(world.gate.pass({ ...request, context })).rejects.toMatchObject({ code: 'approval_required' })
    expect(await allowed(world.gate, { ...request, context: { ...context, approvals: ['approval-1'] } })).toBe(true)
  })

  test('an action that one limit stops uses up no other', async () => {
    const narrow = few({ id: 'a-narrow', applies: { actions: ['tool.demo.write'] }, limit: { most: 0, within: '1h' } })
    const request = asking([narrow, few({ id: 'b-wide', applies: { actions: ['tool.*'] }, limit: { most: 1, within: '1h' } })])
    expect(await allowed(world.gate, request)).toBe(false)
    expect(await allowed(world.gate, { ...request, action: toolCall('demo.append') })).toBe(true)
  })

  test('explaining counts nothing, and tells when a limit is used up', async () => {
    const request = asking([few({ limit: { most: 1, within: '1h' } })])
    for (let index = 0; index < 3; index++) expect((await world.gate.explain(request)).decision.verdict).toBe('allow')
    await world.gate.pass(request)
    const { decision, rules: told } = await world.gate.explain(request)
    expect(decision).toMatchObject({ verdict: 'deny', reasons: [{ rule: 'few' }] })
    expect(told.find(({ rule }) => rule === 'few')).toMatchObject({ holds: true, limit: { most: 1, seconds: 3600, per: 'tenant' } })
  })

  test('when nothing can be counted the answer is no', async () => {
    const request = asking([few()])
    const limits = { take: () => Promise.reject(new Error('connection refused')), usedUp: async () => [] }
    const { policy, kill, decisions } = world
    const gate = createGate({ policy, source, kill, decisions, limits })
    await expect(gate.pass(request)).rejects.toMatchObject({ code: 'policy_unavailable' })
  })
})

test('what a principal held is written down once in a stream, and each decision names it', async () => {
  const request = asking([])
  const { tenant } = request.principal
  const narrow = { ...request.principal, capabilities: ['tool.demo.*'], within: [['tool.*']] }
  for (const principal of [request.principal, request.principal, narrow, request.principal, narrow])
    await world.gate.pass({ ...request, principal })
  await world.decisions.flush()
  const entries = await world.journal.tail({ after: '0', tenant, kinds: ['gate.decided', 'gate.grants'], includeUnsettled: true })
  const grants = entries.filter(({ kind }) => kind === 'gate.grants').map(({ payload }) => payload as { grants: string })
  expect(grants).toMatchObject([
    { capabilities: ['*'], within: [] },
    { capabilities: ['tool.demo.*'], within: [['tool.*']] },
  ])
  const named = entries.flatMap(({ kind, payload }) =>
    kind === 'gate.decided' ? (payload as { principal: { grants: string } }).principal.grants : [],
  )
  const [wide, small] = grants.map((each) => each.grants)
  expect(named).toEqual([wide, wide, small, wide, small])
})
