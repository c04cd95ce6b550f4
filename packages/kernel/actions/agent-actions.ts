import { SomaError } from '@soma/contracts/errors'
import type { Journal } from '@soma/ports/journal/port'
import type { Operations } from './operations.ts'
import type { ActionOutcome, ActionRequest, PerformAction } from './perform-action.ts'

/**
 * The road of actions for agents that choose their calls themselves. A capsule's steps say which data each of them uses; an agent has
 * everything in its head that it ever read, so its calls carry the labels of all that its run has seen. What is written down once
 * stays, in every process and across restarts: an agent can't shake off a label by calling elsewhere.
 */
export function createAgentActions({
  performAction,
  operations,
  journal,
}: {
  performAction: PerformAction
  operations: Operations
  journal: Journal
}): PerformAction {
  /** @throws `forbidden` for an agent that belongs to no run, as nobody could say what it has read */
  return async function performAgentAction(request: ActionRequest): Promise<ActionOutcome> {
    const { tenant, run, id } = request.principal
    if (run === undefined)
      throw new SomaError('forbidden', `${id} belongs to no run, so what it has read is not known. Agents call tools with the token of their run.`)
    const stream = `labels/${run}`
    const seen = await labelsIn(journal, tenant, stream)
    const context = { ...request.context, run, labels: union(seen, request.context.labels ?? []) }
    const see = async (labels: readonly string[]) => {
      const added = labels.filter((label) => !seen.includes(label))
      if (added.length === 0) return
      const entry = { kind: 'run.labelled', payload: { labels: added, action: request.operation, key: request.key } }
      await journal.append({ tenant, stream, expectedSeq: 'any', entries: [entry] })
    }
    try {
      const outcome = await performAction({ ...request, context })
      await see(outcome.labels)
      return outcome
    } catch (error) {
      // What a vendor says in an error is read as well.
      if (operations.find(request.operation).operation.untrustedOutput) await see(union(context.labels, ['untrusted']))
      throw error
    }
  }
}

async function labelsIn(journal: Journal, tenant: string, stream: string): Promise<string[]> {
  const entries = await journal.read(tenant, stream)
  return union(...entries.map((entry) => (entry.payload as { labels: string[] }).labels))
}

function union(...lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].sort()
}
