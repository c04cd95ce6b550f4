import type { BudgetAmount } from './budget.ts'
import type { ApprovalAnswer, CapsuleRunResult } from './capsule-run.ts'
import type { Decision } from './policy.ts'
import type { Deliverable, DeliverableState, GovernanceVerdict, Plan, Project } from './project.ts'
import type { Principal } from './tenant.ts'

/** What the workflow `project` gets. */
export interface ProjectRunInput {
  id: string
  tenant: string
  name: string
  brief: string
  /** A template's name and what it asks for, or a whole plan. */
  source: { template: string } | { plan: Plan }
  inputs: Record<string, unknown>
  principal: Principal
  /** Rounds of revision at the most. */
  maxRevisions: number
}

/** Output of the activity `project.plan`: the plan expanded and checked against the operations, capsules and budgets there are. */
export interface PlannedProject {
  plan: Plan
  inputs: Record<string, unknown>
}

/** Input of the activity `deliverable.gate`. */
export interface DeliverableGateInput {
  project: string
  deliverable: Deliverable
  principal: Principal
  /** Given for it by people. */
  approvals: string[]
}

/** What the gate said. `approval` is the id of what a person must decide when the verdict is needs_approval. */
export interface DeliverableGateOutput {
  decision: Decision
  approval?: string
}

/** Input of the activity `project.provision`. With `dryRun` it says what it would do. */
export interface ProvisionInput {
  project: string
  dryRun: boolean
  budgets: { id: string; limit: BudgetAmount }[]
}

export interface ProvisionOutput {
  workspace: string
  actions: string[]
}

/** What the workflow `agent-task` gets: one deliverable. */
export interface AgentTaskInput {
  project: string
  deliverable: Deliverable
  principal: Principal
  workspace: string
  budgets: string[]
  /** Inputs of the project and outputs of the deliverables it depends on; a missing one is null. */
  scope: { inputs: Record<string, unknown>; deliverables: Record<string, unknown> }
  labels: string[]
  approvals: string[]
}

export type AgentTaskResult = CapsuleRunResult

/** Output of the activity `project.facts`: what the review and the report look at. */
export interface ProjectFacts {
  project: Pick<Project, 'id' | 'tenant' | 'name' | 'brief' | 'createdAt' | 'inputs'>
  deliverables: (DeliverableState & { output?: unknown })[]
  budget: { limit: BudgetAmount; spent: BudgetAmount }
  approvals: { id: string; action: string; status: string; decidedBy?: string; deliverable?: string }[]
  /** Decisions about actions that were carried out. */
  decisions: { total: number; allowed: number; denied: number; meanScore: number }
  review?: GovernanceVerdict
  ledger: { position: string; hash: string }
}

/** What a person, a timer or the API tells a project, as the signal `word`. */
export type ProjectWord =
  | ({ kind: 'approval'; id: string } & ApprovalAnswer)
  /** `retry`: ask policy again. `drop`: it shall not be made. */
  | { kind: 'resolve'; deliverable: string; resolution: 'retry' | 'drop'; by: string; reason?: string }
