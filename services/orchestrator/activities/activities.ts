import type { ActivityFunction } from '@soma/contracts/workflow'
import { capsuleResolve } from './capsule-resolve.ts'
import { deliverableGate } from './deliverable-gate.ts'
import type { Parts } from './parts.ts'
import { projectFacts } from './project-facts.ts'
import { projectPlan } from './project-plan.ts'
import { projectProvision } from './project-provision.ts'
import { approvalRequest, toolCall } from './tool-call.ts'

/** What workflows ask for, by the name they ask with. */
export function createActivities(parts: Parts): Record<string, ActivityFunction> {
  return {
    'capsule.resolve': capsuleResolve(parts),
    'tool.call': toolCall(parts),
    'approval.request': approvalRequest(parts),
    'project.plan': projectPlan(parts),
    'deliverable.gate': deliverableGate(parts),
    'project.provision': projectProvision(parts),
    'project.facts': projectFacts(parts),
  }
}
