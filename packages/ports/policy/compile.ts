import { APPROVAL_OBLIGATION, type ApprovalTerms } from '@soma/contracts/approval-terms'
import { type Condition, type Constitution, Decide, type Rule, RuleApproval } from '@soma/contracts/constitution'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { secondsOf } from '@soma/contracts/obligations'
import { Effect, Limit } from '@soma/contracts/policy'
import { covers } from '@soma/contracts/tenant'
import canonicalize from 'canonicalize'
import { z } from 'zod'
import { compileHours } from './hours.ts'
import type { PolicyData } from './port.ts'

/** Whether it must not hold, its test, the path of the fact, and what the fact is tested against. */
const CompiledCondition = z.tuple([z.boolean(), z.string(), z.array(z.string()).min(2), z.unknown()])

export const CompiledRule = z.strictObject({
  id: z.string(),
  says: z.string(),
  decide: Decide,
  /** Absent: all. */
  capabilities: z.array(z.string()).min(1).optional(),
  when: z.array(CompiledCondition),
  weight: z.number().min(0).max(1).optional(),
  obligations: z.array(z.strictObject({ kind: z.string(), value: z.unknown().optional() })).optional(),
  limit: Limit.omit({ rule: true }).optional(),
})
export type CompiledRule = z.infer<typeof CompiledRule>

/** Rules for one pattern and effect: those that hold only when a fact is (or includes) a certain text stand under that text. */
const RuleGroup = z.strictObject({
  always: z.array(CompiledRule),
  keyed: z.array(z.strictObject({ path: z.array(z.string()).min(2), rules: z.record(z.string(), z.array(CompiledRule)) })),
})
type RuleGroup = z.infer<typeof RuleGroup>

/** What `policies/decision.rego` reads as `data`: the rules by the pattern and the effect they apply to. */
export const PolicyDocument = z.strictObject({
  rules: z.record(z.string(), z.partialRecord(Effect, RuleGroup)),
  /** True when a rule looks at the action's arguments; otherwise a driver need not send them. */
  readsArguments: z.boolean(),
  /** Time zones that rules tell the time in. */
  zones: z.array(z.string()),
  /** Regions in which the tenant's data may be. Absent: it has settled none. */
  residency: z.array(z.string()).optional(),
})
export type PolicyDocument = z.infer<typeof PolicyDocument>

/**
 * Turns constitutions, the platform's and then the tenant's, into what a policy driver loads. All rules count alike: a tenant's
 * rule can forbid more and can allow what nothing speaks about, but never takes back a denial of the platform.
 * @throws conflict when two rules have one id
 */
export function compileConstitution(constitutions: readonly Constitution[]): PolicyData {
  refuseDuplicateIds(constitutions)
  const all = constitutions.flatMap((constitution) => constitution.rules)
  const conditions = all.flatMap((rule) => rule.when)
  const settled = constitutions.flatMap(({ residency }) => (residency ? [residency] : []))
  const document: PolicyDocument = {
    rules: indexRules(all),
    readsArguments: conditions.some(looksAtArguments),
    zones: [...new Set(conditions.flatMap(({ is, ...rest }) => (isHours(is) ? (rest as { value: { zone: string } }).value.zone : [])))],
    ...(settled.length > 0 && { residency: settled.reduce((some, others) => some.filter((region) => others.includes(region))) }),
  }
  return { version: digestOf(document), document }
}

/** `sha256:` and the digest of the document's canonical JSON (RFC 8785). */
export function digestOf(document: PolicyData['document']): string {
  return `sha256:${sha256(canonicalize(document) ?? '')}`
}

function refuseDuplicateIds(constitutions: readonly Constitution[]): void {
  const owners = new Map<string, string>()
  for (const { metadata, rules } of constitutions) {
    for (const { id } of rules) {
      const owner = owners.get(id)
      if (owner !== undefined) {
        throw new SomaError(
          'conflict',
          `Rule "${id}" of constitution "${metadata.name}" has the id of a rule of "${owner}". Give it another.`,
          {
            rule: id,
          },
        )
      }
      owners.set(id, metadata.name)
    }
  }
}

function indexRules(rules: readonly Rule[]): PolicyDocument['rules'] {
  const index = new Map<string, Partial<Record<Effect, RuleGroup>>>()
  for (const rule of rules) {
    const compiled = compileRule(rule)
    for (const pattern of widest(rule.applies.actions)) {
      const byEffect = index.get(pattern) ?? {}
      index.set(pattern, byEffect)
      for (const effect of new Set(rule.applies.effects)) {
        byEffect[effect] ??= { always: [], keyed: [] }
        addTo(byEffect[effect], compiled)
      }
    }
  }
  return Object.fromEntries(index)
}

function addTo(group: RuleGroup, rule: CompiledRule): void {
  const key = rule.when.map(keyOf).find((each) => each !== undefined)
  if (!key) {
    group.always.push(rule)
    return
  }
  const path = key.path.join('.')
  let index = group.keyed.find((each) => each.path.join('.') === path)
  if (!index) {
    index = { path: key.path, rules: {} }
    group.keyed.push(index)
  }
  // With a sign before it no text is taken for anything else, like "__proto__".
  for (const text of new Set(key.texts)) index.rules[`=${text}`] = [...(index.rules[`=${text}`] ?? []), rule]
}

/** The texts of which the fact must be or include one for the condition to hold; undefined when it may hold for others as well. */
function keyOf([negated, test, path, value]: CompiledRule['when'][number]): { path: string[]; texts: string[] } | undefined {
  if (negated || !['equals', 'in', 'includes'].includes(test)) return undefined
  const texts = [value].flat()
  return texts.every((each) => typeof each === 'string') ? { path, texts } : undefined
}

/** Patterns without those that another covers, so that no action meets one rule twice. */
function widest(patterns: readonly string[]): string[] {
  const distinct = [...new Set(patterns)]
  return distinct.filter((pattern) => !distinct.some((other) => other !== pattern && covers([other], pattern)))
}

function compileRule(rule: Rule): CompiledRule {
  const { id, says, decide, limit, obligations } = rule
  const { capabilities } = rule.applies
  return {
    id,
    says,
    decide,
    ...(!capabilities.includes('*') && { capabilities }),
    when: rule.when.map(compileCondition),
    ...(decide === 'needs_approval' && {
      weight: rule.weight ?? 0.5,
      obligations: [{ kind: APPROVAL_OBLIGATION, value: compileApproval(rule.approval) }],
    }),
    ...(obligations && { obligations }),
    ...(limit && { limit: { most: limit.most, seconds: secondsOf(limit.within), per: limit.per } }),
  }
}

/** Carried to the decision as an obligation: whatever goes ahead after this rule asked must have been approved on its terms. */
function compileApproval(approval: Rule['approval']): ApprovalTerms {
  const { by, capability, expiresAfter, reason, self } = RuleApproval.parse(approval ?? {})
  return {
    by,
    capabilities: [capability ?? []].flat(),
    ...(expiresAfter && { expiresAfterSeconds: secondsOf(expiresAfter) }),
    reasonRequired: reason === 'required',
    self,
  }
}

const TAKES_LIST: ReadonlySet<string> = new Set(['matches_prefix', 'matches_suffix', 'in_network'])
const isHours = (is: string) => is.endsWith('during')

function compileCondition(condition: Condition): CompiledRule['when'][number] {
  const negated = condition.is.startsWith('not_')
  const test = condition.is.replace(/^not_/, '')
  const path = condition.fact.split('.')
  if ('valueFrom' in condition && condition.valueFrom) return [negated, `${test}_fact`, path, condition.valueFrom.split('.')]
  if (condition.is === 'during' || condition.is === 'not_during') return [negated, test, path, compileHours(condition.value)]
  const value = 'value' in condition ? condition.value : null
  return [negated, test, path, TAKES_LIST.has(test) ? [value].flat() : value]
}

function looksAtArguments(condition: Condition): boolean {
  return [condition.fact, 'valueFrom' in condition ? condition.valueFrom : undefined].some((fact) => fact?.startsWith('action.arguments.'))
}
