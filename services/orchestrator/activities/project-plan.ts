import { expandPlan } from '@soma/capsule/expand-plan'
import { problemsError } from '@soma/capsule/problem'
import { parsePlan } from '@soma/capsule/validate-plan'
import { isPassing, SomaError } from '@soma/contracts/errors'
import type { Plan } from '@soma/contracts/project'
import type { PlannedProject, ProjectRunInput } from '@soma/contracts/project-run'
import { describeOperations } from '@soma/kernel/actions/operation-catalogue'
import { bodyOf, servicePrincipal } from '@soma/kernel/platform/internal-fetch'
import type { Parts } from './parts.ts'

/** Makes the plan: from a template or as supplied, filled in and checked against the operations and capsules there are. */
export function projectPlan({ fetchAs, operations, config }: Pick<Parts, 'fetchAs' | 'operations' | 'config'>) {
  const known = describeOperations(operations.adapters)
  return async ({ source, inputs, tenant }: Pick<ProjectRunInput, 'source' | 'inputs' | 'tenant'>): Promise<PlannedProject> => {
    const fetch = fetchAs(servicePrincipal('orchestrator', tenant))
    const template = 'template' in source ? await bodyOf<Plan>(fetch(`/v1/plans/${encodeURIComponent(source.template)}`)) : source.plan
    const { plan, problems } = parsePlan(template, { operations: known })
    if (!plan) throw problemsError('plan_invalid', problems)
    const expanded = expandPlan(plan, inputs)
    await assertCapsulesExist(expanded.plan, fetch)
    return { plan: { ...expanded.plan, budget: { ...config.budgets.project, ...expanded.plan.budget } }, inputs: expanded.inputs }
  }
}

async function assertCapsulesExist(plan: Plan, fetch: typeof globalThis.fetch): Promise<void> {
  const references = new Set([...plan.deliverables.map(({ capsule }) => capsule), ...(plan.report ? [plan.report.capsule] : [])])
  await Promise.all(
    [...references].map(async (reference) => {
      const [name, version] = reference.split('@')
      await bodyOf(fetch(`/v1/capsules/${name}/${version}/verified`)).catch((cause) => {
        // Whether it can run is not known then.
        if (isPassing(cause)) throw cause
        throw new SomaError(
          'plan_invalid',
          `The plan names capsule ${reference}, which can't run: ${(cause as SomaError).message}`,
          { capsule: reference },
          { cause },
        )
      })
    }),
  )
}
