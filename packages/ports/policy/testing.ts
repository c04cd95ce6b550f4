import { Constitution } from '@soma/contracts/constitution'
import type { PolicyInput } from '@soma/contracts/policy'
import fc from 'fast-check'

const part = fc.constantFrom('a', 'b', 'c')
const name = fc.array(part, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('.'))
const pattern = fc.oneof(
  { weight: 1, arbitrary: fc.constant('*') },
  { weight: 3, arbitrary: name },
  { weight: 4, arbitrary: name.map((dotted) => `${dotted}.*`) },
)
const scalar = fc.constantFrom<(string | number | boolean)[]>('', 'a', 'ab', '10.1.2.3', '11.1.2.3', '1', 0, 1, 2.5, -1, true, false)
const text = fc.constantFrom('a', 'b', 'ab', '1')
const number = fc.constantFrom(0, 1, 2.5, -1)
const network = fc.constantFrom('10.0.0.0/8', '10.1.2.3/32', '0.0.0.0/0', '11.1.0.0/16')
const fact = fc.constantFrom(
  'action.resource.a',
  'action.resource.b',
  'action.resource.a.b',
  'action.arguments.a',
  'context.labels',
  'context.run',
  'principal.kind',
  'action.name',
)
const negatable = (test: string) => fc.constantFrom(test, `not_${test}`)
const condition = fc.oneof(
  fc.record({ fact, is: negatable('exists') }),
  fc.record({ fact, is: fc.oneof(negatable('equals'), negatable('includes')), value: scalar }),
  fc.record({ fact, is: negatable('in'), value: fc.array(scalar, { minLength: 1, maxLength: 3 }) }),
  fc.record({
    fact,
    is: fc.oneof(negatable('matches_prefix'), negatable('matches_suffix')),
    value: fc.oneof(text, fc.array(text, { minLength: 1, maxLength: 2 })),
  }),
  fc.record({ fact, is: fc.oneof(negatable('greater_than'), negatable('less_than')), value: number }),
  fc.record({ fact, is: negatable('in_network'), value: fc.oneof(network, fc.array(network, { minLength: 1, maxLength: 2 })) }),
)
const effect = fc.constantFrom('read' as const, 'write' as const, 'destructive' as const)
const decision = fc.oneof(
  fc.record({ decide: fc.constantFrom('allow', 'allow', 'deny') }),
  fc.record({
    decide: fc.constant('needs_approval'),
    weight: fc.option(fc.constantFrom(0, 0.25, 0.5, 1), { nil: undefined }),
    approval: fc.option(fc.constantFrom({ by: 2, capability: 'a.b' }, { expiresAfter: '24h', reason: 'required' }), { nil: undefined }),
  }),
  fc.record({ decide: fc.constant('oblige'), obligations: fc.constant([{ kind: 'record' }]) }),
)
const rule = fc
  .record({
    applies: fc.record(
      {
        actions: fc.array(pattern, { minLength: 1, maxLength: 3 }),
        effects: fc.array(effect, { minLength: 1, maxLength: 3 }),
        capabilities: fc.array(pattern, { minLength: 1, maxLength: 2 }),
      },
      { requiredKeys: ['actions'] },
    ),
    when: fc.array(condition, { maxLength: 2 }),
    decision,
  })
  .map(({ decision, ...rest }) => ({ ...rest, ...decision }))
/** Constitutions whose rules and conditions often meet what `randomQuestion` asks. */
export const randomConstitution: fc.Arbitrary<Constitution> = fc.array(rule, { minLength: 1, maxLength: 8 }).map((rules) =>
  Constitution.parse({
    apiVersion: 'soma.dev/v1',
    kind: 'Constitution',
    metadata: { name: 'random', version: '1.0.0' },
    rules: rules.map((body, index) => ({ id: `rule-${index}`, says: 'A rule made at random.', ...body })),
  }),
)
const value = fc.oneof(scalar, fc.constant(null), fc.array(scalar, { maxLength: 2 }), fc.record({ b: scalar }))
const patterns: fc.Arbitrary<string[]> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<string[]>(['*']) },
  { weight: 1, arbitrary: fc.array(pattern, { maxLength: 3 }) },
)
/** Questions of the tenant acme. */
export const randomQuestion: fc.Arbitrary<PolicyInput> = fc.record({
  principal: fc.record({
    id: fc.string(),
    kind: fc.constantFrom('user' as const, 'service' as const, 'agent' as const),
    tenant: fc.constant('acme'),
    capabilities: patterns,
    within: fc.array(patterns, { maxLength: 2 }),
  }),
  action: fc.record({
    name,
    capability: name,
    effect,
    resource: fc.record({ a: value, b: value }, { requiredKeys: [] }),
    arguments: fc.option(fc.record({ a: value }, { requiredKeys: [] }), { nil: undefined }),
  }),
  context: fc.record({
    run: fc.option(text, { nil: undefined }),
    labels: fc.array(text, { maxLength: 2 }),
    approvals: fc.array(fc.constantFrom('approval-1', 'approval-2'), { maxLength: 1 }),
    at: fc.constant('2026-01-01T00:00:00.000Z'),
  }),
})
