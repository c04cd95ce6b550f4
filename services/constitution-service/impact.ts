import { setImmediate as breathe } from 'node:timers/promises'
import { isDeepStrictEqual as isSame } from 'node:util'
import type { Condition, Constitution, Rule } from '@soma/contracts/constitution'
import { type Decision, Effect, type PolicyInput, Verdict } from '@soma/contracts/policy'
import { CARRIED_OUT } from '@soma/kernel/actions/duties'
import { unmetObligation } from '@soma/kernel/gate/unmet-obligation'
import { compileConstitution } from '@soma/ports/policy/compile'
import type { Policy } from '@soma/ports/policy/port'
import { z } from 'zod'
import type { RecordedDecision } from './recorded-decisions.ts'

/** Questions after which other work of the process gets its turn. */
const AT_ONCE = 50

const Answer = z.object({ verdict: Verdict, rules: z.array(z.string()), obligations: z.array(z.string()) })

/** What rules would have decided about real questions. */
export const Impact = z.object({
  asked: z.number().int().describe('Recorded decisions that were looked at'),
  same: z.number().int(),
  changed: z.array(z.object({ from: Verdict, to: Verdict, count: z.number().int() })),
  unknown: z
    .array(z.object({ why: z.string(), count: z.number().int() }))
    .describe('Those that could not be asked again, and so are neither the same nor changed'),
  changes: z.array(
    z.object({
      position: z.string().describe('Of the entry in the ledger'),
      at: z.string(),
      principal: z.string(),
      action: z.string(),
      effect: Effect,
      before: Answer,
      after: Answer.extend({ reasons: z.array(z.string()) }),
    }),
  ),
})
export type Impact = z.infer<typeof Impact>

const NOT_RECORDED = 'The ledger does not hold all that the question was made of.'
const NOT_KNOWABLE = 'A rule looks at arguments, which are not recorded, or at a count, which is not known for then.'

/**
 * Asks recorded questions again, of other rules. What can't be known is never guessed: when a rule looks at something that was not recorded,
 * the question is decided once as if that rule did not hold and once as if it did, and only if both come out alike is there an answer.
 */
export async function previewImpact(
  recorded: readonly RecordedDecision[],
  constitutions: readonly Constitution[],
  openPolicy: () => Promise<Policy>,
): Promise<Impact> {
  const readings = await Promise.all(possibleReadings(constitutions).map((reading) => openReading(reading, openPolicy)))
  const tally = createTally()
  try {
    for (const [index, entry] of recorded.entries()) {
      if (index % AT_ONCE === AT_ONCE - 1) await breathe()
      await judge(entry)
    }
  } finally {
    await Promise.all(readings.map(({ policy }) => policy.close()))
  }
  return tally.impact(recorded.length)

  async function judge({ position, decision, question }: RecordedDecision): Promise<void> {
    // Who lacked the capability, or was stopped by a switch, was refused before any rule was asked.
    if (!decision.policy.startsWith('sha256:')) return tally.same()
    if (!question) return tally.unknown(NOT_RECORDED)
    const [after, ...others] = await Promise.all(readings.map(({ decide }) => decide(question)))
    if (!after || others.some((other) => !isSame(other, after))) return tally.unknown(NOT_KNOWABLE)
    const before = answerOf(decision)
    const { reasons, ...answer } = after
    if (before.verdict === answer.verdict && isSame(before.obligations, answer.obligations)) return tally.same()
    const { principal, action, context } = question
    tally.changed({
      ...{ position, at: context.at, principal: principal.id, action: action.name, effect: action.effect },
      before,
      after: { ...answer, reasons },
    })
  }
}

async function openReading(constitutions: readonly Constitution[], openPolicy: () => Promise<Policy>) {
  const policy = await openPolicy()
  const data = compileConstitution(constitutions)
  const loaded = new Set<string>()
  return {
    policy,
    async decide(question: PolicyInput) {
      const { tenant } = question.principal
      if (!loaded.has(tenant)) await policy.load(tenant, data)
      loaded.add(tenant)
      return outcomeOf(question, await policy.decide(question))
    },
  }
}

/** As the gate would have put it: an obligation that could not be met stops the action. */
function outcomeOf({ principal, action, context }: PolicyInput, decision: Decision) {
  // No other road carries anything out by itself.
  const meets = action.name.startsWith('tool.') ? CARRIED_OUT : []
  const unmet = decision.verdict === 'allow' ? unmetObligation({ principal, action, context, meets }, decision) : undefined
  if (!unmet) return { ...answerOf(decision), reasons: decision.reasons.map(({ text }) => text) }
  return { ...answerOf(decision), verdict: 'deny' as const, rules: [String(unmet.details.rule)], reasons: [unmet.message] }
}

function answerOf({ verdict, reasons, obligations }: Decision): z.infer<typeof Answer> {
  return {
    verdict,
    rules: reasons.map(({ rule }) => rule).sort(),
    obligations: [...new Set(obligations.map(({ kind }) => kind))].sort(),
  }
}

/** One reading when everything can be known; else one without the rules that look at what can't, and one where that part of them holds. */
function possibleReadings(constitutions: readonly Constitution[]): (readonly Constitution[])[] {
  if (!constitutions.some(({ rules }) => rules.some(isUnknowable))) return [constitutions]
  const reading = (change: (rules: readonly Rule[]) => Rule[]) =>
    constitutions.map((constitution) => ({ ...constitution, rules: change(constitution.rules) }))
  return [
    reading((rules) => rules.filter((rule) => !isUnknowable(rule))),
    reading((rules) =>
      rules.map((rule) => ({ ...rule, limit: undefined, when: rule.when.filter((condition) => !looksAtArguments(condition)) })),
    ),
  ]
}

function isUnknowable(rule: Rule): boolean {
  return rule.limit !== undefined || rule.when.some(looksAtArguments)
}

function looksAtArguments(condition: Condition): boolean {
  const facts = [condition.fact, 'valueFrom' in condition ? condition.valueFrom : undefined]
  return facts.some((fact) => fact?.startsWith('action.arguments.'))
}

function createTally() {
  const changes: Impact['changes'] = []
  const unknown = new Map<string, number>()
  let same = 0
  return {
    same: () => void same++,
    unknown: (why: string) => void unknown.set(why, (unknown.get(why) ?? 0) + 1),
    changed: (change: Impact['changes'][number]) => void changes.push(change),
    impact(asked: number): Impact {
      const counts = new Map<string, number>()
      for (const { before, after } of changes) {
        const key = `${before.verdict} ${after.verdict}`
        counts.set(key, (counts.get(key) ?? 0) + 1)
      }
      const changed = [...counts].map(([key, count]) => {
        const [from, to] = key.split(' ') as [Verdict, Verdict]
        return { from, to, count }
      })
      return { asked, same, changed, unknown: [...unknown].map(([why, count]) => ({ why, count })), changes }
    },
  }
}
