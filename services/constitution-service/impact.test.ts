import { openTestGate, person, policyOf, toolCall } from '@soma/kernel/gate/testing'
import { checkConstitution, parseConstitution } from '@soma/ports/policy/check'
import { openWasmPolicy } from '@soma/ports/policy/wasm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { previewImpact } from './impact.ts'
import { readDecisions } from './recorded-decisions.ts'
import { rule, rulesText } from './testing.ts'

const MAY = { id: 'may', says: 'Whoever holds the capability may act.', applies: { actions: ['*'] }, decide: 'allow' as const }
const may = rule('may', 'applies: { actions: ["*"] }, decide: allow')
let world: Awaited<ReturnType<typeof openTestGate>>
beforeAll(async () => {
  world = await openTestGate({ source: { read: async () => policyOf(MAY) } })
})
afterAll(() => world.close())

let tenants = 0
const newPerson = (more = {}) => person({ tenant: `past-${tenants++}`, ...more })

async function preview(tenant: string, rules: string[], last = 1000) {
  const constitution = parseConstitution(rulesText(...rules))
  await world.decisions.flush()
  await expect.poll(async () => (await readDecisions(world.journal, tenant, last)).length).toBeGreaterThan(0)
  return previewImpact(await readDecisions(world.journal, tenant, last), [constitution], () => openWasmPolicy())
}
const stop = (when: string, id = 'stop') => rule(id, `applies: { actions: [tool.*] }, when: [${when}], decide: deny`)

test('each decision that would be another is told: what was, what would be, and by which rule', async () => {
  const principal = newPerson()
  for (const host of ['a.example', 'b.example', 'a.example'])
    await world.gate.pass({ principal, action: toolCall('http.get', { resource: { host } }), context: { run: 'r1' } })
  await world.gate.pass({ principal, action: toolCall('git.log'), context: {} })
  const impact = await preview(principal.tenant, [
    may,
    stop('{ fact: action.resource.host, is: equals, value: a.example }'),
    rule('ask', 'applies: { actions: [tool.git.*] }, decide: needs_approval'),
  ])
  expect(impact).toMatchObject({
    asked: 4,
    same: 1,
    changed: [
      { from: 'allow', to: 'needs_approval', count: 1 },
      { from: 'allow', to: 'deny', count: 2 },
    ],
    unknown: [],
  })
  expect(impact.changes[1]).toMatchObject({
    principal: 'user:ada',
    action: 'tool.http.get',
    before: { verdict: 'allow', rules: ['may'] },
    after: { verdict: 'deny', rules: ['stop'], reasons: ['The rule stop speaks.'] },
  })
})

test('the same rules change nothing', async () => {
  const principal = newPerson({ capabilities: ['tool.demo.*'], within: [['tool.*']], mfa: true })
  await world.gate.pass({ principal, action: toolCall('demo.write'), context: { labels: ['untrusted.web'], approvals: ['a-1'] } })
  await world.gate.ask({ principal, action: toolCall('x', { capability: 'other' }), context: {} })
  expect(await preview(principal.tenant, [may])).toMatchObject({ asked: 2, same: 2, changed: [], unknown: [], changes: [] })
})

test('all facts of the question are there again: who, with what, by which labels and approvals, and when', async () => {
  const principal = newPerson({ capabilities: ['tool.demo.*'], within: [['tool.*']], mfa: true })
  await world.gate.pass({
    principal,
    action: toolCall('demo.write', { resource: { path: 'a' } }),
    context: { run: 'r1', labels: ['untrusted.web'], approvals: ['a-1'], reason: 'because', residency: ['eu'] },
  })
  const holds = async (when: string) => (await preview(principal.tenant, [may, stop(when)])).changes.length === 1
  for (const when of [
    '{ fact: principal.mfa, is: equals, value: true }',
    '{ fact: principal.capabilities, is: includes, value: tool.demo.* }',
    '{ fact: action.resource.path, is: equals, value: a }',
    '{ fact: context.labels, is: includes, value: untrusted }',
    '{ fact: context.approvals, is: includes, value: a-1 }',
    '{ fact: context.reason, is: equals, value: because }',
    '{ fact: context.residency, is: includes, value: eu }',
    '{ fact: context.run, is: equals, value: r1 }',
    `{ fact: context.at, is: matches_prefix, value: "${new Date().getUTCFullYear()}" }`,
  ])
    expect(await holds(when), when).toBe(true)
  expect(await holds('{ fact: context.run, is: equals, value: r2 }')).toBe(false)
})

test('what rules would look at and nobody recorded is told as unknown, unless it makes no difference', async () => {
  const principal = newPerson()
  const secret = { arguments: { path: 'secret.txt' } }
  await world.gate.pass({ principal, action: toolCall('demo.write', secret), context: {} })
  const looking = '{ fact: action.arguments.path, is: matches_suffix, value: .txt }'
  const unknown = [{ why: expect.stringContaining('arguments, which are not recorded'), count: 1 }]
  expect(await preview(principal.tenant, [may, stop(looking)])).toMatchObject({ same: 0, changes: [], unknown })
  // Another rule denies in any case; and here the rest of the rule does not hold.
  const denied = await preview(principal.tenant, [may, stop(looking).replace('deny', 'needs_approval'), stop('', 'always')])
  expect(denied).toMatchObject({ changed: [{ from: 'allow', to: 'deny', count: 1 }], unknown: [] })
  expect(await preview(principal.tenant, [may, stop(`${looking}, { fact: principal.kind, is: equals, value: agent }`)])).toMatchObject({
    same: 1,
    unknown: [],
  })
  const few = rule('few', 'applies: { actions: [tool.demo.*] }, decide: deny, limit: { most: 3, within: 1h }')
  expect(await preview(principal.tenant, [may, few])).toMatchObject({ same: 0, changes: [], unknown })
})

test('what a rule obliges to counts as the gate would count it', async () => {
  const principal = newPerson()
  await world.gate.pass({ principal, action: toolCall('demo.write'), context: {} })
  const oblige = (kind: string) => rule('oblige', `applies: { actions: [tool.*] }, decide: oblige, obligations: [{ kind: ${kind} }]`)
  expect((await preview(principal.tenant, [may, oblige('require_mfa')])).changes).toMatchObject([
    { before: { verdict: 'allow' }, after: { verdict: 'deny', rules: ['oblige'], obligations: ['require_mfa'] } },
  ])
  expect((await preview(principal.tenant, [may, oblige('dry_run')])).changes).toMatchObject([
    { before: { verdict: 'allow', obligations: [] }, after: { verdict: 'allow', obligations: ['dry_run'] } },
  ])
})

test('only the tenant’s own decisions are asked again, the last ones first', async () => {
  const [mine, other] = [newPerson(), newPerson()]
  for (const principal of [mine, other, mine, mine]) await world.gate.pass({ principal, action: toolCall('demo.write'), context: {} })
  await world.gate.pass({ principal: mine, action: toolCall('last.one'), context: {} })
  const impact = await preview(mine.tenant, [may, stop('')], 2)
  expect(impact.asked).toBe(2)
  expect(impact.changes.map(({ action }) => action)).toEqual(['tool.last.one', 'tool.demo.write'])
})

test('ten thousand decisions are asked again within seconds', async () => {
  const principal = newPerson()
  for (let index = 0; index < 10_000; index++)
    await world.gate.pass({ principal, action: toolCall('demo.write', { resource: { path: `file-${index % 100}` } }), context: {} })
  const base = parseConstitution(await readBase())
  expect((await checkConstitution(await readBase(), openWasmPolicy)).problems).toEqual([])
  await world.decisions.flush()
  await expect.poll(async () => (await readDecisions(world.journal, principal.tenant, 10_000)).length).toBe(10_000)
  const begun = performance.now()
  const impact = await previewImpact(await readDecisions(world.journal, principal.tenant, 10_000), [base], () => openWasmPolicy())
  const seconds = (performance.now() - begun) / 1000
  expect(impact).toMatchObject({ asked: 10_000, changed: [{ from: 'allow', to: 'needs_approval', count: 10_000 }] })
  expect(seconds, `${seconds.toFixed(1)} s`).toBeLessThan(30)
})

async function readBase(): Promise<string> {
  const { readFile } = await import('node:fs/promises')
  return readFile(new URL('../../policies/constitution.yaml', import.meta.url), 'utf8')
}
