import type { Step } from '@soma/contracts/capsule'
import type { Deliverable, Plan } from '@soma/contracts/project'
import type { Graph } from './dag.ts'
import { referencesOf } from './expression.ts'

/** The parts of a step that are evaluated before it acts. */
export function evaluatedParts(step: Step): unknown[] {
  const own = 'tool' in step || 'capsule' in step ? step.with : 'approval' in step ? step.approval.message : step.value
  return [step.when, step.map, own]
}

/** The steps whose output a step uses. */
export function stepsUsedBy(step: Step): string[] {
  return namesUnder('steps', evaluatedParts(step))
}

/** What each step waits for: `needs`, and the steps that its expressions name. */
export function stepGraph(steps: readonly Step[]): Graph {
  return new Map(steps.map((step) => [step.id, [...new Set([...step.needs, ...stepsUsedBy(step)])]]))
}

/** What each deliverable waits for: `dependencies`, and the deliverables that its inputs name. */
export function deliverableGraph(plan: Pick<Plan, 'deliverables'>): Graph {
  return new Map(plan.deliverables.map((deliverable) => [deliverable.id, dependenciesOf(deliverable)]))
}

function dependenciesOf(deliverable: Deliverable): string[] {
  return [...new Set([...deliverable.dependencies, ...namesUnder('deliverables', deliverable.inputs)])]
}

function namesUnder(root: string, value: unknown): string[] {
  return referencesOf(value).flatMap((reference) => (reference.root === root && reference.name !== undefined ? [reference.name] : []))
}
