import type { ApprovalRequestInput, ToolCallInput, ToolCallOutput } from '@soma/contracts/capsule-run'
import type { ActivityContext } from '@soma/contracts/workflow'
import type { Parts } from './parts.ts'

/** A step's call takes the one road of every action; its key is the run's and the step's, so it is one call whatever happens. */
export function toolCall({ performAction }: Parts) {
  return async (call: ToolCallInput, { key, signal, attempt }: ActivityContext): Promise<ToolCallOutput> => {
    const { step: _, ...context } = call.context
    const { output, labels } = await performAction({
      operation: call.operation,
      input: call.input,
      principal: call.principal,
      key,
      mayExist: attempt > 1,
      context,
      budgets: call.budgets,
      workspace: call.workspace ?? '',
      timeoutSeconds: call.timeoutSeconds,
      signal,
    })
    return { output, labels }
  }
}

/** Asks a person on behalf of a capsule's `approval` step. */
export function approvalRequest({ approvals }: Parts) {
  return async ({ message, principal, context }: ApprovalRequestInput): Promise<{ id: string }> => {
    const { id } = await approvals.request({
      tenant: principal.tenant,
      action: 'capsule.step',
      summary: message,
      arguments: { capsule: context.capsule, step: context.step, message },
      reasons: [{ rule: 'capsule', text: `Step "${context.step}" of ${context.capsule} asks for it.` }],
      run: context.run,
      project: context.project,
      deliverable: context.deliverable,
    })
    return { id }
  }
}
