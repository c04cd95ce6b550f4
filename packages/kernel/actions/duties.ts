import { SomaError } from '@soma/contracts/errors'
import { withoutLabels } from '@soma/contracts/labels'
import { Obligation, type ObligationKind } from '@soma/contracts/obligations'
import type { Operation } from '@soma/contracts/operation'
import type { Decision } from '@soma/contracts/policy'
import { redactFields } from '@soma/contracts/redact-fields'

/** Obligations that the road of actions carries out by itself. */
export const CARRIED_OUT: readonly ObligationKind[] = ['redact', 'dry_run', 'declassify']

/** What the rules that let an action go ahead oblige its road to. */
export interface Duties {
  /** To say what would happen instead of doing it. */
  isDryRun: boolean
  /** Fields of the arguments that are not recorded. */
  redactedArguments: string[]
  /** The arguments as they may be recorded and shown. */
  shownArguments(input: unknown): unknown
  /** The output as it may be recorded and given back. */
  shownOutput(output: unknown): unknown
  /** The labels that the output keeps, and those that a rule took away. */
  relabel(labels: readonly string[]): { labels: string[]; declassified: string[] }
}

export function dutiesOf({ obligations }: Pick<Decision, 'obligations'>): Duties {
  const known = obligations.flatMap(({ kind, value }) => {
    const { data } = Obligation.safeParse({ kind, ...(value !== undefined && { value }) })
    return data ? [data] : []
  })
  const fields = (where: 'arguments' | 'output') => known.flatMap((each) => (each.kind === 'redact' ? (each.value[where] ?? []) : []))
  const [inputFields, outputFields] = [fields('arguments'), fields('output')]
  const taken = known.flatMap((each) => (each.kind === 'declassify' ? each.value.labels : []))
  return {
    isDryRun: known.some(({ kind }) => kind === 'dry_run'),
    redactedArguments: inputFields,
    shownArguments: (input) => redactFields(input, inputFields),
    shownOutput: (output) => redactFields(output, outputFields),
    relabel(labels) {
      const kept = withoutLabels(labels, taken)
      return { labels: kept, declassified: labels.filter((label) => !kept.includes(label)) }
    },
  }
}

/** Why a dry run can't be had, if it is asked for. */
export function dryRunRefusal({ isDryRun }: Duties, { name, dryRun }: Operation): SomaError | undefined {
  if (!isDryRun || dryRun) return undefined
  return new SomaError('policy_denied', `${name} may only be tried (dry_run), and it can not say what it would do without doing it.`, {
    action: `tool.${name}`,
    obligation: 'dry_run',
    retryable: false,
  })
}
