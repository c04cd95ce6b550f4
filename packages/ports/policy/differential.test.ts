import type { Condition, Rule } from '@soma/contracts/constitution'
import type { PolicyInput, Verdict } from '@soma/contracts/policy'
import { covers, holds } from '@soma/contracts/tenant'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileConstitution } from './compile.ts'
import { randomConstitution, randomQuestion } from './testing.ts'
import { openWasmPolicy } from './wasm.ts'

/** The rules of the house, said again as plainly as possible: every rule is looked at, in order, without an index. */
function oracle(rules: readonly Rule[], input: PolicyInput): { verdict: Verdict; rules: string[]; score: number; obligations: number } {
  const deny = (because: string[]) => ({ verdict: 'deny' as const, rules: because, score: 0, obligations: 0 })
  const matched = rules.filter((rule) => matches(rule, input))
  const ids = (decide: Rule['decide']) => matched.filter((rule) => rule.decide === decide).map((rule) => rule.id)
  const missing = holds(input.principal, input.action.capability) ? [] : ['capability-not-held']
  if (missing.length + ids('deny').length > 0) return deny([...missing, ...ids('deny')])
  // A rule that asks obliges to its terms.
  const obligations = matched.flatMap((rule) => rule.obligations ?? (rule.decide === 'needs_approval' ? [rule.id] : [])).length
  const asked = matched.filter((rule) => rule.decide === 'needs_approval')
  if (asked.length > 0 && input.context.approvals.length === 0) {
    const weight = asked.reduce((sum, rule) => sum + (rule.weight ?? 0.5), 0)
    return { verdict: 'needs_approval', rules: ids('needs_approval'), score: Math.max(0, 1 - weight), obligations }
  }
  const reasons = [...ids('needs_approval'), ...ids('allow')]
  return reasons.length > 0 ? { verdict: 'allow', rules: reasons, score: 1, obligations } : deny(['nothing-allows-it'])
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
  const value: unknown = 'value' in condition ? condition.value : undefined
  const some = [value].flat()
  const tests: Record<string, () => boolean> = {
    exists: () => fact !== null,
    equals: () => fact === value,
    in: () => some.includes(fact),
    includes: () => Array.isArray(fact) && fact.includes(value),
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

test('WebAssembly decides as the plainest reading of the rules does', async () => {
  const policy = await openWasmPolicy()
  const seen = new Map<Verdict, number>()
  await fc.assert(
    fc.asyncProperty(randomConstitution, fc.array(randomQuestion, { minLength: 10, maxLength: 10 }), async (random, inputs) => {
      await policy.load('acme', compileConstitution([random]))
      for (const asked of inputs) {
        const expected = oracle(random.rules, asked)
        const decided = await policy.decide(asked)
        seen.set(expected.verdict, (seen.get(expected.verdict) ?? 0) + 1)
        expect({
          verdict: decided.verdict,
          rules: decided.reasons.map((reason) => reason.rule).toSorted(),
          obligations: decided.obligations.length,
        }).toEqual({
          verdict: expected.verdict,
          rules: expected.rules.toSorted(),
          obligations: expected.obligations,
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
