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
    /** The capsules that the capsule was called by, outermost first. */
    callers: z.array(z.string()).optional(),
    /** Labels of the data that led to the action, e.g. `untrusted`. */
    labels: z.array(z.string()).default([]),
    /** Ids of approvals already given for exactly this action. */
    approvals: z.array(z.string()).default([]),
    /** Why, in the words of whoever asks. */
    reason: z.string().optional(),
    /** Regions in which the data of the tenant or the project may be. Rules know no others than those the tenant has settled as well. */
    residency: z.array(z.string()).optional(),
    /** Rules whose limit is used up at the moment. The gate says so. */
    exceeded: z.array(z.string()).optional(),
    /** ISO 8601 time of the question. */
    at: z.string(),
  }),
})
export type PolicyInput = z.infer<typeof PolicyInput>

export const Verdict = z.enum(['allow', 'deny', 'needs_approval'])
export type Verdict = z.infer<typeof Verdict>

export const Reason = z.object({ rule: z.string(), text: z.string() })
export type Reason = z.infer<typeof Reason>

/** How often something may happen: at most `most` times within `seconds`, counted for each tenant, principal, project or run. */
export const Limit = z.object({
  rule: z.string(),
  most: z.number().int().min(0),
  seconds: z.number().int().min(1),
  per: z.enum(['tenant', 'principal', 'project', 'run']),
})
export type Limit = z.infer<typeof Limit>

/** What policy answers. `score` is compliance from 0 (breaks a rule) to 1 (no rule speaks against it). */
export const Decision = z.object({
  verdict: Verdict,
  reasons: z.array(Reason),
  score: z.number().min(0).max(1),
  obligations: z
    .array(z.object({ kind: z.string(), value: z.unknown().optional(), rule: z.string().optional() }))
    .default([])
    .describe('What must be done if the action goes ahead, and the rule that says so'),
  limits: z.array(Limit).optional().describe('Limits that the action counts against if it goes ahead'),
  policy: z.string().describe('Digest of the policy that decided'),
})
export type Decision = z.infer<typeof Decision>

/** One condition of a rule, and what it met. */
const ExplainedCondition = z.object({
  fact: z.string(),
  negated: z.boolean(),
  test: z.string(),
  value: z.unknown(),
  given: z.unknown().describe('What the fact is in this question; null when it is missing'),
  other: z.unknown().describe('What stands in the fact that it is compared with'),
  holds: z.boolean(),
})

/** Why a decision came out as it did: each rule that applies to such an action, and which of its conditions hold. */
export const Explanation = z.object({
  decision: Decision,
  capability: z.object({
    needed: z.string(),
    held: z.boolean().describe('By what the principal was granted itself'),
    within: z.array(z.boolean()).describe('By each of the limits it acts within'),
  }),
  rules: z.array(
    z.object({
      rule: z.string(),
      says: z.string(),
      decides: z.string(),
      holds: z.boolean(),
      capabilities: z.array(z.string()),
      conditions: z.array(ExplainedCondition),
      limit: Limit.omit({ rule: true }).nullable(),
    }),
  ),
  own: z.array(z.object({ rule: z.string(), says: z.string(), decides: z.string() })).describe('What the tenant’s own Rego gave'),
})
export type Explanation = z.infer<typeof Explanation>
