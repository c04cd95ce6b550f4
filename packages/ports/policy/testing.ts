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
  'context.residency',
  'context.run',
  'principal.kind',
  'action.name',
)
const negatable = (test: string) => fc.constantFrom(test, `not_${test}`)
const day = fc.constantFrom('mon' as const, 'thu' as const, 'sat' as const, 'sun' as const)
const hours = fc.record({
  days: fc.uniqueArray(day, { minLength: 1 }),
  from: fc.constantFrom('00:00', '08:00', '22:30'),
  to: fc.constantFrom('06:15', '17:00', '24:00'),
  // Two hours before UTC, as POSIX counts.
  zone: fc.constantFrom('UTC', 'Etc/GMT-2'),
})
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
  fc.record({ fact, is: fc.oneof(negatable('equals'), negatable('includes'), negatable('in')), valueFrom: fact }),
  fc.record({ fact: fc.constant('context.at'), is: negatable('during'), value: hours }),
  fc.record({ fact, is: negatable('in_network'), value: fc.oneof(network, fc.array(network, { minLength: 1, maxLength: 2 })) }),
)
const effect = fc.constantFrom('read' as const, 'write' as const, 'destructive' as const)
const limit = fc.option(fc.constantFrom({ most: 1, within: '1h' }, { most: 3, within: '2d', per: 'run' }), { nil: undefined })
const decision = fc.oneof(
  fc.record({ decide: fc.constant('allow') }),
  fc.record({ decide: fc.constant('allow') }),
  fc.record({ decide: fc.constant('deny'), limit }),
  fc.record({
    decide: fc.constant('needs_approval'),
    weight: fc.option(fc.constantFrom(0, 0.25, 0.5, 1), { nil: undefined }),
    approval: fc.option(fc.constantFrom({ by: 2, capability: 'a.b' }, { expiresAfter: '24h', reason: 'required' }), { nil: undefined }),
    limit,
  }),
  fc.record({
    decide: fc.constant('oblige'),
    obligations: fc.constantFrom([{ kind: 'require_reason' }], [{ kind: 'redact', value: { output: ['a.*.b'] } }, { kind: 'dry_run' }]),
  }),
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
const regions = fc.option(fc.uniqueArray(fc.constantFrom('a', 'ab', '1'), { minLength: 1 }), { nil: undefined })
const rules = fc.array(rule, { minLength: 1, maxLength: 8 })
/** Constitutions whose rules and conditions often meet what `randomQuestion` asks. */
export const randomConstitution: fc.Arbitrary<Constitution> = fc.tuple(rules, regions).map(([rules, residency]) =>
  Constitution.parse({
    apiVersion: 'soma.dev/v1',
    kind: 'Constitution',
    metadata: { name: 'random', version: '1.0.0' },
    residency,
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
    labels: fc.array(fc.constantFrom('a', 'b', 'ab', 'a.c', 'b.a.1'), { maxLength: 2 }),
    residency: regions,
    exceeded: fc.option(fc.uniqueArray(fc.integer({ min: 0, max: 7 }).map((index) => `rule-${index}`)), { nil: undefined }),
    approvals: fc.array(fc.constantFrom('approval-1', 'approval-2'), { maxLength: 1 }),
    at: fc.date({ min: new Date('2026-01-01'), max: new Date('2026-01-14'), noInvalidDate: true }).map((date) => date.toISOString()),
  }),
})
