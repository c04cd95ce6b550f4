import type { Operations } from './operations.ts'
import type { PerformAction } from './perform-action.ts'
import { type RunLabels, UNTRUSTED, union } from './run-labels.ts'

/**
 * The road of actions for agents that choose their calls themselves: each call carries the labels of all that the agent's run has read,
 * and what the call shows is added to them before the agent sees it.
 */
export function createAgentActions(parts: { performAction: PerformAction; operations: Operations; runLabels: RunLabels }): PerformAction {
  const { performAction, operations, runLabels } = parts
  return async function performAgentAction(request) {
    const { principal, operation, context } = request
    const labels = union(await runLabels.of(principal), context.labels ?? [])
    try {
      const outcome = await performAction({ ...request, context: { ...context, labels } })
      await runLabels.add(principal, outcome.labels, operation)
      return outcome
    } catch (error) {
      // What a vendor says in an error is read as well.
      if (operations.find(operation).operation.untrustedOutput) await runLabels.add(principal, [UNTRUSTED], operation)
      throw error
    }
  }
}
