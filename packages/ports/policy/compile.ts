import { APPROVAL_OBLIGATION, type ApprovalTerms } from '@soma/contracts/approval-terms'
import { type Condition, type Constitution, Decide, type Rule, RuleApproval, Test } from '@soma/contracts/constitution'
import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import { Effect } from '@soma/contracts/policy'
import { covers } from '@soma/contracts/tenant'
import canonicalize from 'canonicalize'
import { z } from 'zod'
import type { PolicyData } from './port.ts'

const CompiledCondition = z.strictObject({
  path: z.array(z.string()).min(2),
  test: Test,
  negated: z.boolean(),
  value: z.unknown().optional(),
})

const CompiledRule = z.strictObject({
  id: z.string(),
  says: z.string(),
  decide: Decide,
  capabilities: z.array(z.string()).min(1),
  when: z.array(CompiledCondition),
  weight: z.number().min(0).max(1).optional(),
  obligations: z.array(z.strictObject({ kind: z.string(), value: z.unknown().optional() })).optional(),
})

/** What `policies/decision.rego` reads as `data`: the rules by the pattern and the effect they apply to. */
export const PolicyDocument = z.strictObject({
  rules: z.record(z.string(), z.partialRecord(Effect, z.array(CompiledRule))),
  /** True when a rule looks at the action's arguments; otherwise a driver need not send them. */
  readsArguments: z.boolean(),
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
  const document = { rules: indexRules(all), readsArguments: all.some((rule) => rule.when.some(looksAtArguments)) }
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
  const index = new Map<string, NonNullable<PolicyDocument['rules'][string]>>()
  for (const rule of rules) {
    const compiled = compileRule(rule)
    for (const pattern of widest(rule.applies.actions)) {
      const byEffect = index.get(pattern) ?? {}
      index.set(pattern, byEffect)
      for (const effect of new Set(rule.applies.effects)) byEffect[effect] = [...(byEffect[effect] ?? []), compiled]
    }
  }
  return Object.fromEntries(index)
}

/** Patterns without those that another covers, so that no action meets one rule twice. */
function widest(patterns: readonly string[]): string[] {
  const distinct = [...new Set(patterns)]
  return distinct.filter((pattern) => !distinct.some((other) => other !== pattern && covers([other], pattern)))
}

function compileRule(rule: Rule): z.infer<typeof CompiledRule> {
  return {
    id: rule.id,
    says: rule.says,
    decide: rule.decide,
    capabilities: rule.applies.capabilities,
    when: rule.when.map(compileCondition),
    ...(rule.decide === 'needs_approval' && {
      weight: rule.weight ?? 0.5,
      obligations: [{ kind: APPROVAL_OBLIGATION, value: compileApproval(rule.approval) }],
    }),
    ...(rule.obligations && { obligations: rule.obligations }),
  }
}

/** In seconds. */
const UNITS: Record<string, number> = { m: 60, h: 3600, d: 86_400 }

/** Carried to the decision as an obligation: whatever goes ahead after this rule asked must have been approved on its terms. */
function compileApproval(approval: Rule['approval']): ApprovalTerms {
  const { by, capability, expiresAfter, reason, self } = RuleApproval.parse(approval ?? {})
  return {
    by,
    capabilities: [capability ?? []].flat(),
    ...(expiresAfter && { expiresAfterSeconds: Number.parseInt(expiresAfter, 10) * (UNITS[expiresAfter.slice(-1)] as number) }),
    reasonRequired: reason === 'required',
    self,
  }
}

function compileCondition(condition: Condition): z.infer<typeof CompiledCondition> {
  const test = Test.parse(condition.is.replace(/^not_/, ''))
  const takesList = test === 'matches_prefix' || test === 'matches_suffix' || test === 'in_network'
  return {
    path: condition.fact.split('.'),
    test,
    negated: condition.is.startsWith('not_'),
    ...('value' in condition && { value: takesList ? [condition.value].flat() : condition.value }),
  }
}

function looksAtArguments(condition: Condition): boolean {
  return condition.fact.startsWith('action.arguments.')
}
