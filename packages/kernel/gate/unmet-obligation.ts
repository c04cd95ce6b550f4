import { APPROVAL_OBLIGATION } from '@soma/contracts/approval-terms'
import { SomaError } from '@soma/contracts/errors'
import { Obligation, type ObligationOf, secondsOf } from '@soma/contracts/obligations'
import type { Decision } from '@soma/contracts/policy'
import type { GateRequest } from './gate-request.ts'

/**
 * Why an allowed action must not go ahead all the same: the first obligation that is not met. Those that only the road of the action can
 * carry out count as met when the caller says that it does.
 */
export function unmetObligation(request: GateRequest, decision: Decision): SomaError | undefined {
  for (const carried of decision.obligations) {
    const problem = problemOf(request, carried)
    if (!problem) continue
    const { code, text, ...more } = problem
    const details = { action: request.action.name, obligation: carried.kind, rule: carried.rule, policy: decision.policy, retryable: false }
    return new SomaError(code, `${request.action.name} is not allowed${carried.rule ? ` by rule ${carried.rule}` : ''}: ${text}`, {
      ...details,
      ...more,
    })
  }
  return undefined
}

interface Problem {
  code: 'mfa_required' | 'policy_denied'
  text: string
  maxAgeSeconds?: number
}

function problemOf(request: GateRequest, { kind, value }: Decision['obligations'][number]): Problem | undefined {
  // People have met it: without their approval the decision would have been another.
  if (kind === APPROVAL_OBLIGATION) return undefined
  const { data: obligation } = Obligation.safeParse({ kind, ...(value !== undefined && { value }) })
  if (!obligation) return { code: 'policy_denied', text: `the obligation "${kind}" is none that the platform can carry out.` }
  switch (obligation.kind) {
    case 'require_mfa':
      return missingFactor(request, obligation)
    case 'require_reason':
      if (request.context.reason?.trim()) return undefined
      return { code: 'policy_denied', text: 'it asks why. Say so with the request, in the header Soma-Reason.' }
    default:
      if (request.meets?.includes(obligation.kind)) return undefined
      return { code: 'policy_denied', text: `it may happen only with ${obligation.kind}, which is not possible here.` }
  }
}

function missingFactor({ principal, context }: GateRequest, { value }: ObligationOf<'require_mfa'>): Problem | undefined {
  const maxAgeSeconds = value?.within ? secondsOf(value.within) : undefined
  // The time of the question, when it is one of the past that is asked again.
  const now = context.at === undefined ? Date.now() : Date.parse(context.at)
  const age = principal.mfaAt === undefined ? Number.POSITIVE_INFINITY : now / 1000 - principal.mfaAt
  if (principal.mfa && (maxAgeSeconds === undefined || age <= maxAgeSeconds)) return undefined
  const text = `it needs a second factor${value?.within ? `, shown within ${value.within}` : ''}.`
  return { code: 'mfa_required', text, ...(maxAgeSeconds !== undefined && { maxAgeSeconds }) }
}
