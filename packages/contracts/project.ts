import { z } from 'zod'
import { BudgetAmount } from './budget.ts'
import { CapsuleReference } from './capsule.ts'
import { Decision } from './policy.ts'
import { TenantId } from './tenant.ts'

export const DeliverableId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,62}$/, 'A deliverable id is lower-case letters, digits or dashes, beginning with a letter.')

/** A node of a project's plan. */
export const Deliverable = z.strictObject({
  id: DeliverableId,
  title: z.string(),
  persona: z.string().describe('name.vN'),
  /** Operations it will call, as patterns: `git.*`, `files.read`. */
  tools: z.array(z.string()),
  budget_tokens: z.number().int().min(0),
  /** Further limits; its `tokens` is `budget_tokens`. */
  budget: BudgetAmount.default({}),
  /** Deliverables that must be done first. Those that an expression in `inputs` names are added by themselves. */
  dependencies: z.array(DeliverableId).default([]),
  /** Start also when a dependency was not made; its output is then null. */
  tolerates_missing: z.boolean().default(false),
  /**
   * The capsule that makes it and its inputs; `inputs` and `deliverables` are in scope of their expressions. An id with dashes is
   * written `deliverables["code-scan"]`.
   */
  capsule: CapsuleReference,
  inputs: z.record(z.string(), z.unknown()).default({}),
  /** What it does to the world at the most; policy decides on it before anything is provisioned. */
  effect: z.enum(['read', 'write', 'destructive']).default('read'),
  /** Facts about its target that rules can test. */
  resource: z.record(z.string(), z.unknown()).default({}),
  /** CEL over `output`: must be true for the deliverable to count as done. */
  acceptance: z.string().optional(),
})
export type Deliverable = z.infer<typeof Deliverable>

export const Plan = z.strictObject({
  apiVersion: z.literal('soma.dev/v1'),
  kind: z.literal('Plan'),
  metadata: z.strictObject({ name: z.string(), summary: z.string() }),
  inputs: z.record(z.string(), z.unknown()).default({}).describe('JSON Schema of what a template asks for'),
  budget: BudgetAmount.default({}),
  deliverables: z.array(Deliverable).min(1),
  /** How the report is made: a capsule that gets every deliverable's outcome. */
  report: z.strictObject({ capsule: CapsuleReference }).optional(),
})
export type Plan = z.infer<typeof Plan>

export const DeliverableStatus = z.enum([
  'planned',
  'waiting',
  'running',
  'done',
  'failed',
  'blocked',
  'awaiting_approval',
  'rejected',
  'skipped',
  'cancelled',
])
export type DeliverableStatus = z.infer<typeof DeliverableStatus>

export const ProjectStatus = z.enum([
  'planning',
  'gating',
  'provisioning',
  'running',
  'reviewing',
  'reporting',
  'waiting',
  'done',
  'failed',
  'cancelled',
])
/** `waiting`: everything that could be done is done and reported; blocked or unapproved deliverables are kept for a person's word. */
export type ProjectStatus = z.infer<typeof ProjectStatus>

export const DeliverableState = z.object({
  id: DeliverableId,
  title: z.string(),
  persona: z.string(),
  status: DeliverableStatus,
  wave: z.number().int().min(1),
  run: z.string().optional(),
  decision: Decision.optional(),
  /** Short sentence on what is going on or what came out. */
  message: z.string().optional(),
  startedAt: z.string().optional(),
  endedAt: z.string().optional(),
  spent: BudgetAmount.default({}),
  steps: z.object({ done: z.number().int(), total: z.number().int() }).optional(),
  rounds: z.number().int().default(0),
})
export type DeliverableState = z.infer<typeof DeliverableState>

export const GovernanceVerdict = z.object({
  verdict: z.enum(['approved', 'needs_revision', 'blocked']),
  compliance: z.number().min(0).max(1),
  budgetVariance: z.number(),
  notes: z.array(z.string()),
})
export type GovernanceVerdict = z.infer<typeof GovernanceVerdict>

/** A project as the API shows it, and as its workflow publishes it. */
export const Project = z.object({
  id: z.string(),
  tenant: TenantId,
  name: z.string(),
  brief: z.string(),
  status: ProjectStatus,
  createdAt: z.string(),
  endedAt: z.string().optional(),
  inputs: z.record(z.string(), z.unknown()),
  deliverables: z.array(DeliverableState),
  review: GovernanceVerdict.optional(),
  budget: z.object({ limit: BudgetAmount, spent: BudgetAmount }),
  report: z.object({ html: z.string().optional(), json: z.string().optional() }).optional().describe('Digests of the report objects'),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
})
export type Project = z.infer<typeof Project>
