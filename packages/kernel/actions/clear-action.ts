import { type ApprovalTerms, DEFAULT_TERMS } from '@soma/contracts/approval-terms'
import { SomaError } from '@soma/contracts/errors'
import type { Action, Decision } from '@soma/contracts/policy'
import type { AppendRequest } from '@soma/ports/journal/port'
import type { Approval } from '../approvals/approval.ts'
import type { Approvals, AskedApproval } from '../approvals/approvals.ts'
import { type Gate, killSubject } from '../gate/gate.ts'
import { killedBy } from '../kill/kill-switch.ts'
import type { KillSwitches } from '../kill/kill-switches.ts'
import type { ActionRecord } from './action-record.ts'
import type { ActionRequest } from './action-request.ts'
import { assertWanted } from './deadline.ts'
import { CARRIED_OUT, type Duties, dutiesOf } from './duties.ts'

/** What an action may go ahead on. */
export interface Clearance {
  decision: Decision
  /** What it obliges to. */
  duties: Duties
  /** To be appended with the action's intent: the approval it goes ahead on is used up by it. */
  use: readonly AppendRequest[]
}

/** An action on its way, as it is shown to whoever must approve it. */
export interface ActionInQuestion {
  request: ActionRequest
  action: Action
  /** The operation that takes it back. */
  reversedBy?: string
  record: ActionRecord
}

interface Parts {
  gate: Gate
  kill: KillSwitches
  approvals: Approvals
}

/**
 * Brings an action past the gate: waits while a kill switch covers it, asks policy, and asks people when policy wants that.
 * @throws what the gate throws; `approval_required` with `details.approval` while nobody has answered; `policy_denied` when the answer was no
 */
export async function clearAction(parts: Parts, question: ActionInQuestion): Promise<Clearance> {
  const { request, action, record } = question
  let granted: AskedApproval | undefined
  for (;;) {
    // What was granted may have expired while the action was held.
    if (await wasHeld(question, parts.kill)) granted = undefined
    try {
      const context = { ...request.context, approvals: granted ? [granted.approval.id] : [] }
      const decision = await parts.gate.pass({ principal: request.principal, action, context, meets: CARRIED_OUT })
      return { decision, duties: dutiesOf(decision), use: granted?.use ?? [] }
    } catch (error) {
      if (!(error instanceof SomaError)) throw error
      if (error.code === 'killed') continue
      const asked =
        error.code === 'approval_required' && !granted
          ? await ask(parts.approvals, question, error, shownArguments(action, error))
          : undefined
      if (asked?.approval.status === 'approved') granted = asked
      else throw await refuse(request, record, asked ? unapproved(action, asked.approval, error) : error)
    }
  }
}

/**
 * Asks whether to do again what was interrupted, because nobody can look whether it happened. An approval means: it did not happen, do it
 * now. It holds for this one intent; should the next attempt be interrupted as well, it is asked again.
 * @param intentHash of the intent that has no outcome
 * @throws `approval_required` while nobody has answered; `effect_undecided` when the answer was no
 */
export async function clearRepetition(
  { approvals }: Parts,
  question: ActionInQuestion,
  intentHash: string,
  duties: Duties,
): Promise<readonly AppendRequest[]> {
  const { name } = question.action
  const action: Action = {
    ...question.action,
    name: `repeat.${name}`,
    arguments: { input: question.action.arguments, interrupted: intentHash },
  }
  const text = `${name} may or may not have happened before an interruption, and there is no way to look. Find out by hand: approve to do it now, reject if it is done or must not be.`
  const reasons = [{ rule: 'effect_undecided', text }]
  const refused = new SomaError('approval_required', text, { action: action.name, reasons, retryable: false })
  const shown = { input: duties.shownArguments(question.action.arguments), interrupted: intentHash }
  const { approval, use } = await ask(approvals, { ...question, action }, refused, shown)
  if (approval.status === 'approved') return use
  if (approval.status === 'pending') throw unapproved(action, approval, refused)
  throw new SomaError(
    'effect_undecided',
    `Whether ${name} happened is not known, and ${approval.decidedBy} decided not to do it again${reasonOf(approval)}`,
    { approval: approval.id, retryable: false },
  )
}

/** Without the fields that nobody may see. The approval is bound to all of them. */
function shownArguments({ arguments: args }: Action, { details }: SomaError): unknown {
  return dutiesOf({ obligations: (details.obligations as Decision['obligations'] | undefined) ?? [] }).shownArguments(args)
}

function ask(
  approvals: Approvals,
  { request, action, reversedBy }: ActionInQuestion,
  refused: SomaError,
  shown: unknown,
): Promise<AskedApproval> {
  const { principal, context, key, place = key } = request
  return approvals.ask({
    principal,
    action,
    shownArguments: shown,
    summary: refused.message,
    reasons: refused.details.reasons as Decision['reasons'],
    terms: (refused.details.terms as ApprovalTerms | undefined) ?? DEFAULT_TERMS,
    run: context.run,
    place,
    key,
    project: context.project,
    deliverable: context.deliverable,
    labels: context.labels,
    reversedBy,
    given: context.approvals,
  })
}

/** Puts the refusal on record and gives it back to be thrown. */
export async function refuse({ operation }: ActionRequest, record: ActionRecord, refused: SomaError): Promise<SomaError> {
  const { code, message, details } = refused
  await record.append('action.refused', { operation, error: { code, message, details } })
  return refused
}

/** Waits while a kill switch covers the action. @returns whether one did */
async function wasHeld({ request, action, record }: ActionInQuestion, kill: KillSwitches): Promise<boolean> {
  const subject = killSubject({ principal: request.principal, action, context: request.context })
  let held = kill.stopping(subject)
  if (!held) return false
  if (request.whenKilled === 'refuse') throw await refuse(request, record, killedBy(held))
  for (; held; held = kill.stopping(subject)) {
    await record.append('action.held', { operation: request.operation, killSwitch: held.id, reason: held.reason })
    request.onProgress?.(`held by kill switch: ${held.reason}`)
    await kill.whenLifted(subject, request.signal).catch((error) => {
      assertWanted(request)
      throw error
    })
  }
  return true
}

/** Nobody has answered yet, or the answer was no. */
function unapproved(action: Action, approval: Approval, asked: SomaError): SomaError {
  if (approval.status !== 'rejected')
    return new SomaError('approval_required', asked.message, { ...asked.details, approval: approval.id, expiresAt: approval.expiresAt })
  return new SomaError('policy_denied', `${approval.decidedBy} rejected ${action.name}${reasonOf(approval)}`, {
    ...asked.details,
    rejected: approval.id,
  })
}

function reasonOf({ words }: Approval): string {
  const reason = words.at(-1)?.reason
  return reason ? `: ${reason}` : '.'
}
