import type { Decision } from '@soma/contracts/policy'
import type { ProjectFacts } from '@soma/contracts/project-run'
import type { ActivityContext } from '@soma/contracts/workflow'
import { tailAll } from '@soma/ports/journal/tail-all'
import type { Parts } from './parts.ts'

type FactsInput = Pick<ProjectFacts, 'project' | 'deliverables' | 'review'>

/** Gathers what the review and the report look at: outcomes, cost, approvals and every decision taken for the project. */
export function projectFacts({ budgets, approvals, journal, ledger }: Parts) {
  return async ({ project, deliverables, review }: FactsInput, { tenant }: ActivityContext): Promise<ProjectFacts> => {
    const [budget, asked, decisions, head] = await Promise.all([
      budgets.state(tenant, `project/${project.id}`),
      approvals.list(tenant, { project: project.id, limit: 200 }),
      decisionsOf(project.id, tenant),
      ledger.head(tenant),
    ])
    const withSpent = await Promise.all(
      deliverables.map(async (deliverable) => ({
        ...deliverable,
        spent: (await budgets.state(tenant, `project/${project.id}/${deliverable.id}`))?.spent ?? {},
      })),
    )
    return {
      project,
      deliverables: withSpent,
      budget: { limit: budget?.limit ?? {}, spent: budget?.spent ?? {} },
      approvals: asked.map(({ id, action, status, decidedBy, deliverable }) => ({ id, action, status, decidedBy, deliverable })),
      decisions,
      review,
      ledger: { position: head?.position ?? '0', hash: head?.hash ?? '' },
    }
  }

  async function decisionsOf(project: string, tenant: string): Promise<ProjectFacts['decisions']> {
    let total = 0
    let denied = 0
    let scores = 0
    let carriedOut = 0
    const streamPrefix = `action/run/${project}.`
    const kinds = ['action.completed', 'action.refused']
    for await (const entry of tailAll(journal, { tenant, streamPrefix, kinds, limit: 1000 })) {
      total++
      if (entry.kind === 'action.refused') denied++
      else {
        carriedOut++
        scores += (entry.payload as { decision: Decision }).decision.score
      }
    }
    return { total, allowed: carriedOut, denied, meanScore: carriedOut === 0 ? 1 : scores / carriedOut }
  }
}
