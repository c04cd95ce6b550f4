import { z } from 'zod'
import { Principal } from './tenant.ts'

export const Effect = z.enum(['read', 'write', 'destructive'])
/** What an action does to the world: `read` changes nothing, `write` can be undone, `destructive` can not. */
export type Effect = z.infer<typeof Effect>

/** What is asked for: one request, tool call, deliverable, model call or memory access. */
export const Action = z.object({
  name: z.string().describe('Dotted name: tool.git.log, deliverable.start, http.projects.create'),
  capability: z.string().describe('The capability the caller needs, e.g. tool.git.read'),
  effect: Effect,
  resource: z.record(z.string(), z.unknown()).default({}).describe('What it acts on, as facts a rule can test'),
  arguments: z.unknown().optional().describe('The input, secrets redacted'),
})
export type Action = z.infer<typeof Action>

/** The whole question that policy answers. */
export const PolicyInput = z.object({
  principal: Principal,
  action: Action,
  context: z.object({
    run: z.string().optional(),
    project: z.string().optional(),
    deliverable: z.string().optional(),
    persona: z.string().optional(),
    capsule: z.string().optional(),
    /** Labels of the data that led to the action, e.g. `untrusted`. */
    labels: z.array(z.string()).default([]),
    /** Ids of approvals already given for exactly this action. */
    approvals: z.array(z.string()).default([]),
    /** ISO 8601 time of the question. */
    at: z.string(),
  }),
})
export type PolicyInput = z.infer<typeof PolicyInput>

export const Verdict = z.enum(['allow', 'deny', 'needs_approval'])
export type Verdict = z.infer<typeof Verdict>

export const Reason = z.object({ rule: z.string(), text: z.string() })
export type Reason = z.infer<typeof Reason>

/** What policy answers. `score` is compliance from 0 (breaks a rule) to 1 (no rule speaks against it). */
export const Decision = z.object({
  verdict: Verdict,
  reasons: z.array(Reason),
  score: z.number().min(0).max(1),
  obligations: z.array(z.object({ kind: z.string(), value: z.unknown().optional() })).default([]),
  policy: z.string().describe('Digest of the policy that decided'),
})
export type Decision = z.infer<typeof Decision>
