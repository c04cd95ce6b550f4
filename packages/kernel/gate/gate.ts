import { termsOf } from '@soma/contracts/approval-terms'
import { SomaError } from '@soma/contracts/errors'
import type { Action, Decision, Explanation, PolicyInput } from '@soma/contracts/policy'
import { holds, mayCall, type Principal } from '@soma/contracts/tenant'
import type { Policy, PolicyData } from '@soma/ports/policy/port'
import type { KillSubject, KillSwitch } from '../kill/kill-switch.ts'
import type { KillSwitches } from '../kill/kill-switches.ts'
import type { DecisionLog } from './decision-log.ts'
import type { GateRequest } from './gate-request.ts'
import type { Limits } from './limits.ts'
import { unmetObligation } from './unmet-obligation.ts'

/** Where a tenant's policy comes from. Read at the first question, and again after it was forgotten. */
export interface PolicySource {
  read(tenant: string): Promise<PolicyData>
}

export interface Gate {
  /** The decision, whatever it is. Used where a "no" is an answer rather than an error (deliverables). */
  ask(request: GateRequest): Promise<Decision>
  /**
   * The decision, when it is to allow. What it obliges to is met: by the gate itself, or by the caller, as `request.meets` promises.
   * @throws `killed`, `forbidden`, `policy_denied`, `mfa_required`, `approval_required`, `policy_unavailable`, `audit_unavailable`
   */
  pass(request: GateRequest): Promise<Decision>
  /** What policy would decide at present, and how that comes about. Nothing is counted or recorded. @throws `policy_unavailable` */
  explain(request: GateRequest): Promise<Explanation>
  /** Forgets a tenant's policy, so that the next question reads it anew. What belongs to the tenant `platform` is part of everybody's. */
  forget(tenant: string): void
}

/**
 * The gate: kill switch → capability → policy with the constitution. Every request, tool call, deliverable, model call and memory
 * access goes through it, and every decision goes to the ledger. What can't be asked or recorded is refused.
 */
export function createGate(parts: {
  policy: Policy
  source: PolicySource
  kill: KillSwitches
  limits: Limits
  decisions: DecisionLog
}): Gate {
  const loads = new Map<string, { done: Promise<void>; isCurrent: boolean }>()

  function loadPolicy(tenant: string): Promise<void> {
    const last = loads.get(tenant)
    if (last?.isCurrent) return last.done
    // After the one before, so that what was read earlier never comes into force later.
    const before = last?.done.catch(() => undefined) ?? Promise.resolve()
    const load = {
      done: before.then(() => parts.source.read(tenant)).then((data) => parts.policy.load(tenant, data)),
      isCurrent: true,
    }
    loads.set(tenant, load)
    load.done.catch(() => {
      load.isCurrent = false
    })
    return load.done
  }

  function forget(tenant: string): void {
    for (const each of tenant === PLATFORM ? loads.keys() : [tenant]) {
      const load = loads.get(each)
      if (load) load.isCurrent = false
    }
  }

  async function decide(request: GateRequest): Promise<Decision> {
    const { principal, action } = request
    if (!holds(principal, action.capability) || !mayCall(principal, action.name)) return lacksCapability(principal, action)
    // Policy can't be asked whether it may be read: it is not there yet.
    if (action.capability === POLICY_BUNDLE) return byCapability
    return withPolicy(request, async () => {
      const exceeded: string[] = []
      for (;;) {
        const decision = await parts.policy.decide(questionOf(request, exceeded))
        // What does not go ahead counts against nothing.
        const goesAhead = decision.verdict === 'allow' && !unmetObligation(request, decision)
        if (!goesAhead || !decision.limits?.length) return decision
        const used = await parts.limits.take(request, decision.limits)
        if (used.length === 0) return decision
        exceeded.push(...used)
      }
    })
  }

  /** With the tenant's rules in force. Whatever keeps policy from answering is a no. */
  async function withPolicy<Result>({ principal, action }: GateRequest, work: () => Promise<Result>): Promise<Result> {
    try {
      await loadPolicy(principal.tenant)
      return await work()
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

  /** The decision, and what keeps an allowed action from going ahead all the same. */
  async function judge(request: GateRequest): Promise<{ decision: Decision; unmet?: SomaError }> {
    parts.decisions.assertWritable()
    const subject = killSubject(request)
    const stopping = parts.kill.stopping(subject)
    if (stopping) {
      parts.decisions.record(request, stoppedBy(stopping))
      parts.kill.assertRunning(subject)
    }
    const decided = await decide(request)
    const unmet = decided.verdict === 'allow' ? unmetObligation(request, decided) : undefined
    const decision = unmet ? obligedTo(decided, unmet) : decided
    parts.decisions.record(request, decision)
    return { decision, unmet }
  }

  return {
    ask: async (request) => (await judge(request)).decision,
    async pass(request) {
      const { decision, unmet } = await judge(request)
      if (unmet) throw unmet
      if (decision.verdict === 'allow') return decision
      throw refusal(request.action, decision)
    },
    explain: (request) =>
      withPolicy(request, async () => {
        const { exceeded } = request.context
        const explained = await parts.policy.explain(questionOf(request, exceeded ?? []))
        const used = exceeded ? [] : await parts.limits.usedUp(request, explained.decision.limits ?? [])
        return used.length === 0 ? explained : parts.policy.explain(questionOf(request, used))
      }),
    forget,
  }
}

/** The tenant whose rules are the base of every other's. */
const PLATFORM = 'platform'

/** The capability to read a tenant's compiled policy; processes of the platform hold it. */
export const POLICY_BUNDLE = 'policy.bundle'

const byCapability: Decision = { verdict: 'allow', reasons: [], score: 1, obligations: [], policy: 'capabilities' }

/** Actions on the switches themselves, and what deciding about them needs, are never stopped, or nobody could lift one. */
const NEVER_STOPPED = new Set(['kill.admin', POLICY_BUNDLE])

/** What of a question a kill switch can name. */
export function killSubject({ principal, action, context }: GateRequest): KillSubject {
  if (NEVER_STOPPED.has(action.capability)) return { tenant: principal.tenant, exempt: true }
  return {
    tenant: principal.tenant,
    project: context.project,
    run: context.run,
    capsules: [...(context.callers ?? []), ...(context.capsule === undefined ? [] : [context.capsule])],
    persona: context.persona ?? personaOf(principal),
    tool: action.name.startsWith('tool.') ? action.name.slice('tool.'.length) : undefined,
  }
}

/** An agent is named after the persona that it is. */
function personaOf({ kind, id }: Principal): string | undefined {
  return kind === 'agent' ? id.replace(/^agent:/, '') : undefined
}

function questionOf({ principal, action, context }: GateRequest, exceeded: readonly string[]): PolicyInput {
  return {
    principal,
    action,
    context: {
      ...context,
      labels: context.labels ?? [],
      approvals: context.approvals ?? [],
      at: context.at ?? new Date().toISOString(),
      exceeded: exceeded.length > 0 ? [...exceeded] : undefined,
    },
  }
}

/** A denial for want of what the rules oblige to. */
function obligedTo({ obligations, policy }: Decision, unmet: SomaError): Decision {
  const rule = typeof unmet.details.rule === 'string' ? unmet.details.rule : 'obligation'
  return { verdict: 'deny', reasons: [{ rule, text: unmet.message }], score: 0, obligations, policy }
}

function stoppedBy({ id, scope, target, reason }: KillSwitch): Decision {
  return {
    verdict: 'deny',
    reasons: [{ rule: 'kill_switch', text: `Stopped by kill switch ${id} (${scope} ${target}): ${reason}` }],
    score: 0,
    obligations: [],
    policy: 'kill switches',
  }
}

function lacksCapability(principal: Principal, action: Action): Decision {
  return {
    verdict: 'deny',
    reasons: [
      {
        rule: 'capability',
        text: holds(principal, action.capability)
          ? `${action.name} is outside of what ${principal.id} may call.`
          : `${principal.id} does not hold ${action.capability}.`,
      },
    ],
    score: 0,
    obligations: [],
    policy: 'capabilities',
  }
}

/** The error that stands for a decision other than allow. */
export function refusal(action: Action, decision: Decision): SomaError {
  const why = decision.reasons.map((reason) => reason.text).join(' ')
  const { reasons, score, policy, obligations } = decision
  const details = { action: action.name, reasons, score, policy, retryable: false, ...(obligations.length > 0 && { obligations }) }
  if (decision.policy === 'capabilities') return new SomaError('forbidden', why, details)
  if (decision.verdict === 'needs_approval')
    return new SomaError('approval_required', `${action.name} needs a person's approval. ${why}`, { ...details, terms: termsOf(decision) })
  return new SomaError('policy_denied', `${action.name} is not allowed. ${why}`, details)
}
