import type { Action, PolicyInput } from '@soma/contracts/policy'
import type { DeliverableGateInput, DeliverableGateOutput } from '@soma/contracts/project-run'
import { DELIVERABLE_START } from '@soma/kernel/approvals/approvals'
import type { Parts } from './parts.ts'

/** Asks policy about a deliverable before anything is provisioned; when a person must agree, asks for that as well. */
export function deliverableGate({ gate, approvals }: Parts) {
  return async ({ project, deliverable, principal, approvals: given }: DeliverableGateInput): Promise<DeliverableGateOutput> => {
    const { id, capsule, inputs, tools, effect, resource, persona } = deliverable
    const action: Action = {
      name: DELIVERABLE_START,
      capability: 'project.run',
      effect,
      resource,
      arguments: { deliverable: id, capsule, inputs, tools, effect, resource },
    }
    const granted = await approvals.granted(principal.tenant, given, { action: action.name, arguments: action.arguments })
    const context: Partial<PolicyInput['context']> = { project, deliverable: id, persona, capsule, approvals: granted }
    const decision = await gate.ask({ principal: { ...principal, id: `agent:${persona}`, kind: 'agent' }, action, context })
    if (decision.verdict !== 'needs_approval') return { decision }
    const approval = await approvals.request({
      tenant: principal.tenant,
      action: action.name,
      summary: deliverable.title,
      arguments: action.arguments,
      reasons: decision.reasons,
      run: project,
      project,
      deliverable: id,
    })
    return { decision, approval: approval.id }
  }
}
