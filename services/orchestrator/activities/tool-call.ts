import { DEFAULT_TERMS } from '@soma/contracts/approval-terms'
import type { ApprovalRequestInput, ToolCallInput, ToolCallOutput } from '@soma/contracts/capsule-run'
import type { ActivityContext } from '@soma/contracts/workflow'
import type { Parts } from './parts.ts'

/** A step's call takes the one road of every action; its key is the run's and the step's, so it is one call whatever happens. */
export function toolCall({ performAction, presentRights }: Parts) {
  return async (call: ToolCallInput, { key, signal, attempt }: ActivityContext): Promise<ToolCallOutput> => {
    const { step, ...context } = call.context
    const { output, labels } = await performAction({
      operation: call.operation,
      input: call.input,
      principal: await presentRights(call.principal),
      key,
      place: step,
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
  return async (
    { message, principal, context, expiresSeconds }: ApprovalRequestInput,
    { key }: ActivityContext,
  ): Promise<{ id: string }> => {
    const { run, step, capsule, project, deliverable, labels } = context
    const { approval } = await approvals.ask({
      principal,
      action: { name: 'capsule.step', effect: 'write', resource: { capsule, step }, arguments: { message } },
      summary: message,
      reasons: [{ rule: 'capsule', text: `Step "${step}" of ${capsule} asks for it.` }],
      terms: { ...DEFAULT_TERMS, ...(expiresSeconds ? { expiresAfterSeconds: Math.ceil(expiresSeconds) } : {}) },
      run,
      place: step,
      key,
      project,
      deliverable,
      labels,
    })
    return { id: approval.id }
  }
}
