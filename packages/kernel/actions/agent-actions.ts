import { type ErrorCode, SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import { type StartedPayload, streamOf } from '@soma/ports/workflows/execution/record'
import type { Operations } from './operations.ts'
import type { PerformAction } from './perform-action.ts'
import { type RunLabels, UNTRUSTED, union } from './run-labels.ts'

/** Refusals from before the call: nobody outside had a word in them. */
const OWN_WORDS: ReadonlySet<ErrorCode> = new Set([
  'unknown_tool',
  'forbidden',
  'mfa_required',
  'policy_denied',
  'approval_required',
  'budget_exceeded',
  'policy_unavailable',
  'audit_unavailable',
])

/**
 * The road of actions for agents that choose their calls themselves: each call is charged to the budgets of the agent's run and carries
 * the labels of all that the run has read, and what the call shows is added to them before the agent sees it.
 */
export function createAgentActions(parts: {
  performAction: PerformAction
  operations: Operations
  runLabels: RunLabels
  journal: Journal
}): PerformAction {
  const { performAction, operations, runLabels, journal } = parts
  return async function performAgentAction(request) {
    const { principal, operation, context } = request
    const labels = union(await runLabels.of(principal), context.labels ?? [])
    const budgets = [...request.budgets, ...(await budgetsOfRun(journal, principal))]
    try {
      const outcome = await performAction({ ...request, budgets, context: { ...context, labels } })
      await runLabels.add(principal, outcome.labels, operation)
      return outcome
    } catch (error) {
      // What a vendor says in an error is read as well.
      const isOwn = SomaError.is(error) && OWN_WORDS.has(error.code)
      if (!isOwn && operations.find(operation).operation.untrustedOutput) await runLabels.add(principal, [UNTRUSTED], operation)
      throw error
    }
  }
}

/** What the run was started with, besides the tenant's budget, which every call is charged to. */
async function budgetsOfRun(journal: Journal, { tenant, run }: Principal): Promise<string[]> {
  if (run === undefined) return []
  const [start] = await journal.read(tenant, streamOf(run, 1), { limit: 1 })
  return ((start?.payload as StartedPayload | undefined)?.input as { budgets?: string[] } | undefined)?.budgets ?? []
}
