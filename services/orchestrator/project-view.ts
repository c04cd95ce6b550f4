import type { CapsuleRunState } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { DeliverableState, Project } from '@soma/contracts/project'
import type { Workflows } from '@soma/ports/workflows/port'

export const PROJECT_WORKFLOW = 'project'

/** A project as its workflow published it, with how far the capsules of its running deliverables are. */
export async function viewProject(workflows: Workflows, tenant: string, id: string): Promise<Project> {
  const run = await workflows.describe({ tenant, runId: id })
  if (run?.workflow !== PROJECT_WORKFLOW) throw new SomaError('not_found', `There is no project ${id}.`, { id })
  const project = (run.status === 'completed' ? run.output : await workflows.query({ tenant, runId: id })) as Project
  const deliverables = await Promise.all(project.deliverables.map((each) => withSteps(workflows, tenant, each)))
  return { ...project, deliverables, ...(run.error && !project.error ? { error: run.error } : {}) }
}

async function withSteps(workflows: Workflows, tenant: string, deliverable: DeliverableState): Promise<DeliverableState> {
  if (deliverable.status !== 'running' || !deliverable.run) return deliverable
  // The agent task's second step is its capsule's run.
  const state = (await workflows.query({ tenant, runId: `${deliverable.run}.2` }).catch(() => undefined)) as CapsuleRunState | undefined
  if (!state) return deliverable
  const active = state.steps.find((step) => step.status === 'running' || step.status === 'waiting')
  const done = state.steps.filter((step) => ['done', 'skipped'].includes(step.status)).length
  return { ...deliverable, steps: { done, total: state.steps.length }, ...(active ? { message: active.message ?? active.title } : {}) }
}
