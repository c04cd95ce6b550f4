import type { Condition, Constitution, Hours, Rule } from '@soma/contracts/constitution'
import type { PolicyInput, Verdict } from '@soma/contracts/policy'
import { covers, holds } from '@soma/contracts/tenant'
import { dequal } from 'dequal'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileConstitution } from './compile.ts'
import { randomConstitution, randomQuestion } from './testing.ts'
import { openWasmPolicy } from './wasm.ts'

interface Told {
  verdict: Verdict
  rules: string[]
  score: number
  obligations: number
  limits: string[]
}

/** The rules of the house, said again as plainly as possible: every rule is looked at, in order, without an index. */
function oracle({ rules, residency }: Constitution, asked: PolicyInput): Told {
  const input = completed(asked, residency)
  const met = rules.filter((rule) => matches(rule, input))
  const isOpen = (rule: Rule) => rule.limit !== undefined && !input.context.exceeded?.includes(rule.id)
  const matched = met.filter((rule) => !isOpen(rule))
  const ids = (decide: Rule['decide']) => matched.filter((rule) => rule.decide === decide).map((rule) => rule.id)
  const deny = (because: string[]): Told => ({ verdict: 'deny', rules: because, score: 0, obligations: 0, limits: [] })
  const missing = holds(input.principal, input.action.capability) ? [] : ['capability-not-held']
  if (missing.length + ids('deny').length > 0) return deny([...missing, ...ids('deny')])
  // A rule that asks obliges to its terms.
  const obligations = matched.reduce((sum, rule) => sum + (rule.obligations?.length ?? (rule.decide === 'needs_approval' ? 1 : 0)), 0)
  const asking = matched.filter((rule) => rule.decide === 'needs_approval')
  if (asking.length > 0 && input.context.approvals.length === 0) {
    const weight = asking.reduce((sum, rule) => sum + (rule.weight ?? 0.5), 0)
    return { verdict: 'needs_approval', rules: ids('needs_approval'), score: Math.max(0, 1 - weight), obligations, limits: [] }
  }
  const reasons = [...ids('needs_approval'), ...ids('allow')]
  const limits = met.filter(isOpen).map(({ id }) => id)
  return reasons.length > 0 ? { verdict: 'allow', rules: reasons, score: 1, obligations, limits } : deny(['nothing-allows-it'])
}

/** With what the platform knows besides: what labels say as well, and the regions that both leave. */
function completed(asked: PolicyInput, own: string[] | undefined): PolicyInput {
  const { labels, residency } = asked.context
  const all = labels.flatMap((label) => label.split('.').map((_, index, parts) => parts.slice(0, index + 1).join('.')))
  const both = own && residency ? own.filter((region) => residency.includes(region)) : (own ?? residency)
  return { ...asked, context: { ...asked.context, labels: [...new Set(all)].sort(), residency: both } }
}

function matches({ applies, when }: Rule, input: PolicyInput): boolean {
  return (
    covers(applies.actions, input.action.name) &&
    applies.effects.includes(input.action.effect) &&
    covers(applies.capabilities, input.action.capability) &&
    when.every((condition) => conditionHolds(condition, input))
  )
}

function conditionHolds(condition: Condition, input: PolicyInput): boolean {
  const fact = condition.fact.split('.').reduce<unknown>(below, input) ?? null
  const from = 'valueFrom' in condition ? condition.valueFrom : undefined
  const value: unknown =
    from === undefined ? 'value' in condition && condition.value : (from.split('.').reduce<unknown>(below, input) ?? null)
  if (from !== undefined && value === null) return condition.is.startsWith('not_')
  const some = [value].flat()
  const tests: Record<string, () => boolean> = {
    exists: () => fact !== null,
    equals: () => dequal(fact, value),
    in: () => Array.isArray(value) && some.some((each) => dequal(each, fact)),
    during: () => isDuring(value as Hours, input.context.at),
    includes: () => Array.isArray(fact) && fact.some((each) => dequal(each, value)),
    matches_prefix: () => some.some((prefix) => typeof fact === 'string' && fact.startsWith(String(prefix))),
    matches_suffix: () => some.some((suffix) => typeof fact === 'string' && fact.endsWith(String(suffix))),
    greater_than: () => typeof fact === 'number' && fact > Number(value),
    less_than: () => typeof fact === 'number' && fact < Number(value),
    in_network: () => some.some((network) => typeof fact === 'string' && isIn(String(network), fact)),
  }
  const positive = tests[condition.is.replace('not_', '')]
  if (!positive) throw new Error(`The oracle does not know ${condition.is}`)
  return positive() !== condition.is.startsWith('not_')
}

const below = (value: unknown, key: string): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>)[key] : undefined

function isIn(network: string, address: string): boolean {
  const [base = '', bits] = network.split('/')
  const number = (ip: string) => ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  const size = 2 ** (32 - Number(bits))
  return /^\d+\.\d+\.\d+\.\d+$/.test(address) && Math.floor(number(base) / size) === Math.floor(number(address) / size)
}

/** The zones of the random hours keep no summer time, so their clocks can be told by adding hours. */
function isDuring({ days, from, to, zone }: Hours, at: string): boolean {
  const local = new Date(Date.parse(at) + (zone === 'UTC' ? 0 : 2) * 3_600_000).toISOString()
  const weekday = (offset: number) =>
    ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'][(new Date(local).getUTCDay() + 7 + offset) % 7] as 'sun'
  const time = local.slice(11, 16)
  if (from < to) return days.includes(weekday(0)) && time >= from && time < to
  return (days.includes(weekday(0)) && time >= from) || (days.includes(weekday(-1)) && time < to)
}

test('WebAssembly decides as the plainest reading of the rules does', async () => {
  const policy = await openWasmPolicy()
  const seen = new Map<Verdict, number>()
  await fc.assert(
    fc.asyncProperty(randomConstitution, fc.array(randomQuestion, { minLength: 10, maxLength: 10 }), async (random, inputs) => {
      await policy.load('acme', compileConstitution([random]))
      for (const asked of inputs) {
        const expected = oracle(random, asked)
        const decided = await policy.decide(asked)
        seen.set(expected.verdict, (seen.get(expected.verdict) ?? 0) + 1)
        expect({
          verdict: decided.verdict,
          rules: decided.reasons.map((reason) => reason.rule).toSorted(),
          obligations: decided.obligations.length,
          limits: decided.limits?.map(({ rule }) => rule).toSorted(),
        }).toEqual({
          verdict: expected.verdict,
          rules: expected.rules.toSorted(),
          obligations: expected.obligations,
          limits: expected.limits.toSorted(),
        })
        expect(decided.score).toBeCloseTo(expected.score)
      }
    }),
    { numRuns: 300 },
  )
  await policy.close()
  // The inputs reach every verdict often enough to mean something.
  for (const verdict of ['allow', 'deny', 'needs_approval'] as const) expect(seen.get(verdict), verdict).toBeGreaterThan(20)
})
