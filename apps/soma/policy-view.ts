import type { Decision, Explanation } from '@soma/contracts/policy'
import type { Terminal } from './terminal.ts'
import { oneLine, paragraph, truncate } from './text.ts'

type Shown = Pick<Terminal, 'paint' | 'width'>
type Told = Pick<Decision, 'verdict' | 'reasons' | 'score' | 'obligations' | 'limits'>

export function describeDecision({ verdict, reasons, score, obligations, limits = [] }: Told, { paint, width }: Shown): string {
  const colour = { allow: paint.green, deny: paint.red, needs_approval: paint.yellow }[verdict]
  return [
    `${paint.bold(colour(verdict))}  score ${score}`,
    ...reasons.flatMap(({ rule, text }) => paragraph(`${rule}: ${text}`, width, 2)),
    ...obligations.map(({ kind, value, rule }) =>
      truncate(`  obliges to ${kind}${value === undefined ? '' : ` ${oneLine(JSON.stringify(value))}`}, by ${rule}`, width),
    ),
    ...limits.map(({ rule, most, seconds, per }) => `  counts against ${rule}: ${most} in ${seconds} s for each ${per}`),
  ].join('\n')
}

export function describeExplanation(explanation: Explanation, shown: Shown): string {
  const { decision, capability, rules, own } = explanation
  const { paint, width } = shown
  const held = capability.held && capability.within.every(Boolean)
  const limits = capability.within.length > 0 && !capability.within.every(Boolean) ? ', but not within every limit' : ''
  return [
    describeDecision(decision, shown),
    '',
    `${mark(held, paint)} holds ${capability.needed}${capability.held ? limits : ': no'}`,
    ...rules
      .toSorted(holdingFirst)
      .flatMap((rule) => [
        `${mark(rule.holds, paint)} ${paint.bold(rule.rule)} ${rule.decides}`,
        ...paragraph(rule.says, width, 4).map(paint.dim),
        ...rule.conditions.map((condition) => truncate(`    ${mark(condition.holds, paint)} ${conditionText(condition)}`, width)),
        ...(rule.limit ? [`    speaks beyond ${rule.limit.most} in ${rule.limit.seconds} s for each ${rule.limit.per}`] : []),
      ]),
    ...own.flatMap(({ rule, decides, says }) => [
      `${mark(true, paint)} ${paint.bold(rule)} ${decides}`,
      ...paragraph(says, width, 4).map(paint.dim),
    ]),
  ].join('\n')
}

function holdingFirst(one: { holds: boolean; rule: string }, other: { holds: boolean; rule: string }): number {
  return Number(other.holds) - Number(one.holds) || one.rule.localeCompare(other.rule)
}

function mark(holds: boolean, paint: Shown['paint']): string {
  return holds ? paint.green('✓') : paint.red('✗')
}

/** What the fact is comes first, for the value of a rule may be long. */
function conditionText({ fact, negated, test, value, given, other }: Explanation['rules'][number]['conditions'][number]): string {
  const isFact = test.endsWith('_fact')
  const operator = `${negated ? 'not_' : ''}${test.replace(/_fact$/, '')}`
  const against = isFact ? `${(value as string[]).join('.')} = ${shownValue(other)}` : test === 'exists' ? '' : shownValue(value)
  return oneLine(`${fact} = ${given === null ? 'missing' : shownValue(given)}; ${operator} ${against}`).trimEnd()
}

/** A value on one line that can be wrapped. */
export function shownValue(value: unknown): string {
  return oneLine(JSON.stringify(value, null, 1)?.replace(/\n */g, ' ') ?? 'missing')
}
