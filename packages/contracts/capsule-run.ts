import type { Capsule, Step } from './capsule.ts'
import type { Principal } from './tenant.ts'

/** What the workflow `capsule` gets. */
export interface CapsuleRunInput {
  /** Resolved and verified by who starts the run. */
  capsule: Capsule
  digest: string
  inputs: Record<string, unknown>
  principal: Principal
  project?: string
  deliverable?: string
  /** Absolute path of the folder that tools work in. */
  workspace?: string
  /** Budgets to charge, by id. */
  budgets: string[]
  /** Labels of the data in `inputs`. */
  labels?: string[]
  /** Approvals given for the whole run, e.g. for its deliverable. */
  approvals?: string[]
  /** The step that runs this capsule, of a capsule within a capsule. */
  parent?: { run: string; step: string }
  /** The capsules around this one, outermost first, as name@version. */
  callers?: string[]
  /** Operation patterns of every capsule around this one, each of which must also allow a call. */
  limits?: string[][]
}

export interface CapsuleRunResult {
  output: unknown
  /** Labels of all the data that the output was made from. */
  labels: string[]
}

/** Where a call comes from, as policy and the journal see it. */
export interface CallContext {
  run: string
  /** The step's id; `id[3]` for the item with index 3 of a `map` step. */
  step: string
  /** name@version */
  capsule: string
  /** The capsules around it, outermost first. */
  callers?: string[]
  project?: string
  deliverable?: string
  labels: string[]
}

/** Input of the activity `tool.call`. It throws `approval_required` with `details.approval`, an id, when a person must agree first. */
export interface ToolCallInput {
  operation: string
  input: Record<string, unknown>
  principal: Principal
  context: CallContext & { approvals: string[] }
  budgets: string[]
  workspace?: string
  /** For the call itself, instead of what the operation declares. Waiting for a kill switch to be lifted does not count. */
  timeoutSeconds?: number
}

export interface ToolCallOutput {
  output: unknown
  labels: string[]
}

/** Input of the activity `approval.request`, which gives `{ id }`. The answer, or that nobody gave one, comes as the signal `approval:<id>`. */
export interface ApprovalRequestInput {
  message: string
  principal: Principal
  context: CallContext
  expiresSeconds?: number
}

export interface ApprovalAnswer {
  approved: boolean
  /** Id of who answered. */
  by: string
  reason?: string
  /** Nobody did in time. */
  expired?: true
}

/** Input of the activity `capsule.resolve`. */
export interface CapsuleResolveInput {
  reference: string
  tenant: string
  run: string
  step: string
}

/** The capsule, its signature and digest verified. `budget` is one made for the nested run's own limit, charged besides the others. */
export interface CapsuleResolveOutput {
  capsule: Capsule
  digest: string
  budget?: string
}

export type StepKind = 'tool' | 'capsule' | 'approval' | 'value'
export type StepStatus = 'pending' | 'running' | 'waiting' | 'done' | 'failed' | 'skipped' | 'cancelled'

export interface StepState {
  id: string
  title: string
  kind: StepKind
  status: StepStatus
  /** ISO 8601. */
  startedAt?: string
  endedAt?: string
  /** What it waits for, or why it failed, was skipped or cancelled. */
  message?: string
  /** Of a `map` step. */
  items?: { total: number; done: number; failed: number }
}

/** What a capsule's run publishes. */
export interface CapsuleRunState {
  capsule: string
  status: 'running' | 'done' | 'failed' | 'cancelled'
  steps: StepState[]
}

export function stepKind(step: Step): StepKind {
  if ('tool' in step) return 'tool'
  if ('capsule' in step) return 'capsule'
  return 'approval' in step ? 'approval' : 'value'
}
