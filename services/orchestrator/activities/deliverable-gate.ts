import { DEFAULT_TERMS, termsOf } from '@soma/contracts/approval-terms'
import type { Action, Decision, PolicyInput } from '@soma/contracts/policy'
import type { DeliverableGateInput, DeliverableGateOutput } from '@soma/contracts/project-run'
import type { Principal } from '@soma/contracts/tenant'
import { DELIVERABLE_START } from '@soma/kernel/approvals/approval'
import type { AskedApproval } from '@soma/kernel/approvals/approvals'
import type { Parts } from './parts.ts'

/** Asks policy about a deliverable before anything is provisioned; when people must agree, asks for that as well. */
export function deliverableGate({ gate, approvals, journal, presentRights }: Parts) {
  return async (input: DeliverableGateInput): Promise<DeliverableGateOutput> => {
    const { project, deliverable, principal: starter } = input
    const { id, capsule, persona } = deliverable
    const onBehalfOf = starter.onBehalfOf ?? starter.id
    const principal = await presentRights({ ...starter, id: `agent:${persona}`, kind: 'agent', onBehalfOf })
    const action = startOf(deliverable)
    const context: Partial<PolicyInput['context']> = { project, deliverable: id, persona, capsule }
    const decision = await gate.ask({ principal, action, context })
    if (decision.verdict !== 'needs_approval') return { decision }
    const { approval, use } = await askPeople(principal, action, decision, input)
    if (approval.status !== 'approved') return { decision, approval: approval.id }
    const approved = await gate.ask({ principal, action, context: { ...context, approvals: [approval.id] } })
    if (approved.verdict === 'allow' && use.length > 0) await journal.append(...use)
    return { decision: approved }
  }

  function askPeople(principal: Principal, action: Action, decision: Decision, input: DeliverableGateInput): Promise<AskedApproval> {
    const { project, deliverable, approvals: given } = input
    return approvals.ask({
      principal,
      action,
      summary: deliverable.title,
      reasons: decision.reasons,
      terms: termsOf(decision) ?? DEFAULT_TERMS,
      run: project,
      place: deliverable.id,
      key: `deliverable/${project}/${deliverable.id}`,
      project,
      deliverable: deliverable.id,
      given,
    })
  }
}

function startOf({ id, capsule, inputs, tools, effect, resource }: DeliverableGateInput['deliverable']): Action {
  return {
    name: DELIVERABLE_START,
    capability: 'project.run',
    effect,
    resource,
    arguments: { deliverable: id, capsule, inputs, tools },
  }
}
