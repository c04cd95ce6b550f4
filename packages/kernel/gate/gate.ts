import { SomaError } from '@soma/contracts/errors'
import type { Action, Decision, PolicyInput } from '@soma/contracts/policy'
import { holds, type Principal } from '@soma/contracts/tenant'
import type { Policy, PolicyData } from '@soma/ports/policy/port'
import type { KillSubject, KillSwitches } from '../kill/kill-switches.ts'
import type { DecisionLog } from './decision-log.ts'
import type { GateRequest } from './gate-request.ts'

/** Where a tenant's policy comes from. `version` must be cheap; `read` is called when it changed. */
export interface PolicySource {
  read(tenant: string): Promise<PolicyData>
}

export interface Gate {
  /** The decision, whatever it is. Used where a "no" is an answer rather than an error (deliverables). */
  ask(request: GateRequest): Promise<Decision>
  /**
   * The decision, when it is to allow.
   * @throws `killed`, `forbidden`, `policy_denied`, `approval_required`, `policy_unavailable`, `audit_unavailable`
   */
  pass(request: GateRequest): Promise<Decision>
  /** Forgets a tenant's policy, so that the next question reads it anew. */
  forget(tenant: string): void
  /** Forgets every tenant's, when changes may have been missed. */
  forgetAll(): void
}

/**
 * The gate: kill switch → capability → policy with the constitution. Every request, tool call, deliverable, model call and memory
 * access goes through it, and every decision goes to the ledger. What can't be asked or recorded is refused.
 */
export function createGate(parts: { policy: Policy; source: PolicySource; kill: KillSwitches; decisions: DecisionLog }): Gate {
  const loading = new Map<string, Promise<void>>()

  function loadPolicy(tenant: string): Promise<void> {
    const known = loading.get(tenant)
    if (known) return known
    const load = parts.source.read(tenant).then((data) => parts.policy.load(tenant, data))
    loading.set(tenant, load)
    load.catch(() => loading.delete(tenant))
    return load
  }

  async function decide({ principal, action, context }: GateRequest): Promise<Decision> {
    parts.kill.assertRunning(killSubject({ principal, action, context }))
    if (!holds(principal, action.capability)) return lacksCapability(principal, action)
    // Policy can't be asked whether it may be read: it is not there yet.
    if (action.capability === POLICY_BUNDLE) return byCapability
    try {
      await loadPolicy(principal.tenant)
      return await parts.policy.decide({
        principal,
        action,
        context: { labels: [], approvals: [], ...context, at: context.at ?? new Date().toISOString() },
      })
    } catch (cause) {
      if (SomaError.is(cause, 'policy_unavailable')) throw cause
      throw new SomaError(
        'policy_unavailable',
        `Policy could not be asked about ${action.name}, so the answer is no.`,
        { retryAfterSeconds: 5 },
        { cause },
      )
    }
  }

  async function ask(request: GateRequest): Promise<Decision> {
    parts.decisions.assertWritable()
    const decision = await decide(request)
    parts.decisions.record(request, decision)
    return decision
  }

  return {
    ask,
    async pass(request) {
      const decision = await ask(request)
      if (decision.verdict === 'allow') return decision
      throw refusal(request.action, decision)
    },
    forget: (tenant) => loading.delete(tenant),
    forgetAll: () => loading.clear(),
  }
}

/** The capability to read a tenant's compiled policy; processes of the platform hold it. */
export const POLICY_BUNDLE = 'policy.bundle'

const byCapability: Decision = { verdict: 'allow', reasons: [], score: 1, obligations: [], policy: 'capabilities' }

/** What of a question a kill switch can name. Actions on the switches themselves are never stopped, or nobody could lift one. */
export function killSubject({ principal, action, context }: GateRequest): KillSubject {
  if (action.capability === 'kill.admin') return { tenant: '' }
  return {
    tenant: principal.tenant,
    project: context.project,
    run: context.run,
    capsule: context.capsule,
    persona: context.persona,
    tool: action.name.startsWith('tool.') ? action.name.slice('tool.'.length) : undefined,
  }
}

function lacksCapability(principal: Principal, action: Action): Decision {
  return {
    verdict: 'deny',
    reasons: [{ rule: 'capability', text: `${principal.id} does not hold ${action.capability}.` }],
    score: 0,
    obligations: [],
    policy: 'capabilities',
  }
}

/** The error that stands for a decision other than allow. */
export function refusal(action: Action, decision: Decision): SomaError {
  const why = decision.reasons.map((reason) => reason.text).join(' ')
  const details = { action: action.name, reasons: decision.reasons, score: decision.score, policy: decision.policy, retryable: false }
  if (decision.policy === 'capabilities') return new SomaError('forbidden', why, details)
  if (decision.verdict === 'needs_approval')
    return new SomaError('approval_required', `${action.name} needs a person's approval. ${why}`, details)
  return new SomaError('policy_denied', `${action.name} is not allowed. ${why}`, details)
}
