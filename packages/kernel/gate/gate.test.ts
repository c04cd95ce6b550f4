import { SomaError } from '@soma/contracts/errors'
import type { Decision } from '@soma/contracts/policy'
import type { PolicyData } from '@soma/ports/policy/port'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { POLICY_BUNDLE, type PolicySource } from './gate.ts'
import { openTestGate, person, policyOf, RULES, toolCall } from './testing.ts'

let world: Awaited<ReturnType<typeof openTestGate>>
const source: PolicySource = { read: async () => RULES }
beforeAll(async () => {
  world = await openTestGate({ source: { read: (tenant) => source.read(tenant) } })
})
afterAll(async () => {
  await world.close()
})

let tenants = 0
/** Whoever asks first for a tenant reads its policy. */
const newPerson = (more = {}) => person({ tenant: `tenant-${tenants++}`, ...more })
const ask = (principal = newPerson(), name = 'demo.write', more = {}) => ({ principal, action: toolCall(name, more), context: {} })

async function decisionsOf(tenant: string): Promise<{ action: string; decision: Decision }[]> {
  await world.decisions.flush()
  const entries = await world.journal.tail({ after: '0', tenant, kinds: ['gate.decided'], includeUnsettled: true })
  return entries.map((entry) => {
    const { action, decision } = entry.payload as { action: { name: string }; decision: Decision }
    return { action: action.name, decision }
  })
}

test('kill switch before capability, capability before policy', async () => {
  const principal = newPerson({ capabilities: ['other'] })
  const { id } = await world.kill.pull({ tenant: principal.tenant, scope: 'tool', target: 'forbidden', reason: 'r', by: 'user:ada' })
  await expect(world.gate.pass(ask(principal, 'forbidden.x'))).rejects.toMatchObject({ code: 'killed' })
  await world.kill.lift({ tenant: principal.tenant, id, by: 'user:ada' })
  await expect(world.gate.pass(ask(principal, 'forbidden.x'))).rejects.toMatchObject({ code: 'forbidden' })
  await expect(world.gate.pass(ask({ ...principal, capabilities: ['*'] }, 'forbidden.x'))).rejects.toMatchObject({
    code: 'policy_denied',
    message: expect.stringContaining('This is forbidden.'),
    details: { reasons: [{ rule: 'no', text: 'This is forbidden.' }], policy: RULES.version, retryable: false },
  })
  expect((await decisionsOf(principal.tenant)).map(({ decision }) => decision.reasons[0]?.rule)).toEqual([
    'kill_switch',
    'capability',
    'no',
  ])
})

test('every decision is in the ledger, with who asked, for what, where, and why it was decided so', async () => {
  const principal = newPerson({ id: 'agent:dev', kind: 'agent' })
  await world.gate.pass({
    principal,
    action: toolCall('demo.write', { resource: { path: 'a' }, arguments: { secret: 'not for the ledger' } }),
    context: { run: 'r1', labels: ['untrusted'], approvals: [] },
  })
  await expect(world.gate.pass(ask(principal, 'asked.x'))).rejects.toMatchObject({ code: 'approval_required' })
  expect((await world.gate.ask(ask(principal, 'forbidden.x'))).verdict).toBe('deny')
  const decisions = await decisionsOf(principal.tenant)
  expect(decisions.map(({ decision }) => decision.verdict)).toEqual(['allow', 'needs_approval', 'deny'])
  const [entry] = await world.journal.tail({ after: '0', tenant: principal.tenant, kinds: ['gate.decided'], includeUnsettled: true })
  expect(entry?.payload).toEqual({
    principal: { id: 'agent:dev', kind: 'agent', grants: expect.stringMatching(/^[0-9a-f]{32}$/) },
    action: { name: 'tool.demo.write', capability: 'tool.demo.write', effect: 'write', resource: { path: 'a' } },
    context: { run: 'r1', labels: ['untrusted'] },
    decision: decisions[0]?.decision,
  })
  expect(JSON.stringify(entry)).not.toContain('not for the ledger')
})

test('an action within limits needs the capability in every one of them', async () => {
  const principal = newPerson({ within: [['tool.demo.*'], ['tool.other.*']] })
  await expect(world.gate.pass(ask(principal))).rejects.toMatchObject({ code: 'forbidden' })
  await expect(world.gate.pass(ask({ ...principal, within: [['tool.demo.*']] }))).resolves.toMatchObject({ verdict: 'allow' })
})

test('without a policy the answer is no, until it can be read', async () => {
  const principal = newPerson()
  const read = source.read
  source.read = async () => {
    throw new Error('connection refused')
  }
  for (let round = 0; round < 2; round++)
    await expect(world.gate.pass(ask(principal))).rejects.toMatchObject({
      code: 'policy_unavailable',
      message: expect.stringContaining('demo.write'),
    })
  source.read = read
  await world.gate.pass(ask(principal))
  source.read = async () => {
    throw new SomaError('policy_unavailable', 'No constitution is in force.')
  }
  world.gate.forget('platform')
  await expect(world.gate.pass(ask(principal))).rejects.toMatchObject({ code: 'policy_unavailable' })
  source.read = read
  await world.gate.pass(ask(principal))
})

test('a policy that can not be used allows nothing', async () => {
  const read = source.read
  source.read = async () => ({ version: 'sha256:0', document: { rules: 'none' } })
  await expect(world.gate.pass(ask())).rejects.toMatchObject({ code: 'policy_unavailable' })
  source.read = read
})

test('policy is read once for many questions at once, and anew when it was forgotten', async () => {
  const principal = newPerson()
  const read = source.read
  let reads = 0
  source.read = async (tenant) => {
    reads++
    return read(tenant)
  }
  await Promise.all(Array.from({ length: 20 }, () => world.gate.pass(ask(principal))))
  expect(reads).toBe(1)
  world.gate.forget(principal.tenant)
  await world.gate.pass(ask(principal))
  expect(reads).toBe(2)
  // The platform's rules are part of everybody's.
  world.gate.forget('platform')
  await world.gate.pass(ask(principal))
  expect(reads).toBe(3)
  source.read = read
})

test('a policy that was read before a change never comes into force after it', async () => {
  const principal = newPerson()
  const read = source.read
  const stricter = policyOf({ id: 'none', says: 'Nothing may happen.', applies: { actions: ['*'] }, decide: 'deny' })
  let answerOld: (data: PolicyData) => void = () => undefined
  source.read = () =>
    new Promise((resolve) => {
      answerOld = resolve
    })
  const early = world.gate.ask(ask(principal))
  await expect.poll(() => answerOld.length).toBe(1)
  world.gate.forget(principal.tenant)
  source.read = async () => stricter
  const late = world.gate.ask(ask(principal))
  answerOld(RULES)
  await early
  expect((await late).verdict).toBe('deny')
  expect((await world.gate.ask(ask(principal))).verdict).toBe('deny')
  source.read = read
})

test('while the ledger can not be written nothing is allowed; after it everything is, and no decision is missing', async () => {
  const principal = newPerson()
  await world.gate.pass(ask(principal))
  await world.decisions.flush()
  world.journal.refuses = ({ stream }) => stream.startsWith('gate/')
  // The one whose writing fails was allowed before anybody could know.
  await world.gate.pass(ask(principal, 'demo.first'))
  await expect(world.decisions.flush()).rejects.toMatchObject({ code: 'audit_unavailable' })
  for (const name of ['demo.second', 'forbidden.x'])
    await expect(world.gate.ask(ask(principal, name))).rejects.toMatchObject({
      code: 'audit_unavailable',
      details: { retryAfterSeconds: 2 },
    })
  world.journal.refuses = () => false
  await expect
    .poll(() =>
      world.gate.pass(ask(principal, 'demo.third')).then(
        () => 'allowed',
        () => 'refused',
      ),
    )
    .toBe('allowed')
  expect((await decisionsOf(principal.tenant)).map(({ action }) => action)).toEqual([
    'tool.demo.write',
    'tool.demo.first',
    'tool.demo.third',
  ])
})

test('a question too large to be decided or recorded is refused, and the next is answered', async () => {
  const huge = toolCall('demo.write', { resource: { text: 'x'.repeat(9_000_000) } })
  await expect(world.gate.ask({ principal: newPerson(), action: huge, context: {} })).rejects.toMatchObject({ code: 'policy_unavailable' })
  const powerless = newPerson({ capabilities: [] })
  await expect(world.gate.ask({ principal: powerless, action: huge, context: {} })).rejects.toMatchObject({ code: 'invalid_input' })
  await world.gate.pass(ask())
})

test('switches can be lifted and policy be read, whatever is stopped', async () => {
  const principal = newPerson()
  const { tenant } = principal
  const { id } = await world.kill.pull({ tenant, scope: 'everything', target: '', reason: 'r', by: 'user:ada' })
  await expect(world.gate.pass(ask(principal))).rejects.toMatchObject({ code: 'killed' })
  const lift = { name: 'http.kill.lift', capability: 'kill.admin', effect: 'write', resource: {} } as const
  expect((await world.gate.pass({ principal, action: lift, context: {} })).verdict).toBe('allow')
  const bundle = { name: 'http.policies.bundle', capability: POLICY_BUNDLE, effect: 'read', resource: {} } as const
  expect((await world.gate.pass({ principal, action: bundle, context: {} })).policy).toBe('capabilities')
  await world.kill.lift({ tenant, id, by: 'user:ada' })
})

test('two processes write their decisions without getting into each other’s way', async () => {
  const second = await openTestGate({ sql: world.sql })
  const principal = newPerson()
  await Promise.all(Array.from({ length: 400 }, (_, index) => (index % 2 ? world : second).gate.pass(ask(principal, `demo.${index}`))))
  await second.decisions.flush()
  expect(new Set((await decisionsOf(principal.tenant)).map(({ action }) => action)).size).toBe(400)
  await second.close()
})
