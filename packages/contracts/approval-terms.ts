import { z } from 'zod'
import type { Decision } from './policy.ts'

/** From the strictest to the mildest. */
const SELF = ['never', 'alone', 'always'] as const

/** What a rule of the constitution asks for when it asks for people's approval. */
export const ApprovalTerms = z.object({
  by: z.number().int().min(1).describe('How many different people must approve'),
  capabilities: z.array(z.string()).describe('What each of them must hold, besides approval.decide'),
  expiresAfterSeconds: z
    .number()
    .int()
    .positive()
    .optional()
    .describe('How long an answer is waited for; without it the platform’s default'),
  reasonRequired: z.boolean().describe('True when whoever approves must say why; whoever rejects always must'),
  self: z.enum(SELF).describe('Whether who asked may approve: never, only when alone (nobody else of the tenant could), or always'),
})
export type ApprovalTerms = z.infer<typeof ApprovalTerms>

/** When no rule says more: one person, not the one who asked unless there is nobody else. */
export const DEFAULT_TERMS: ApprovalTerms = { by: 1, capabilities: [], reasonRequired: false, self: 'alone' }

/** Kind of the obligation in which a decision carries the terms of a rule: the action may go ahead only when they are met. */
export const APPROVAL_OBLIGATION = 'approval'

/** The terms of every rule that asked, put together; undefined when none did. */
export function termsOf({ obligations }: Pick<Decision, 'obligations'>): ApprovalTerms | undefined {
  const asked = obligations.flatMap(({ kind, value }) => (kind === APPROVAL_OBLIGATION ? [ApprovalTerms.parse(value)] : []))
  return asked.length === 0 ? undefined : strictest(asked)
}

/** Whoever meets the result meets every one of the terms, of which there is at least one. */
export function strictest(terms: readonly ApprovalTerms[]): ApprovalTerms {
  const expiries = terms.flatMap(({ expiresAfterSeconds }) => expiresAfterSeconds ?? [])
  return {
    by: Math.max(...terms.map(({ by }) => by)),
    capabilities: [...new Set(terms.flatMap(({ capabilities }) => capabilities))].sort(),
    ...(expiries.length > 0 ? { expiresAfterSeconds: Math.min(...expiries) } : {}),
    reasonRequired: terms.some(({ reasonRequired }) => reasonRequired),
    self: SELF[Math.min(...terms.map(({ self }) => SELF.indexOf(self)))] as ApprovalTerms['self'],
  }
}

/** True when an approval that was given on these terms also meets the others. */
export function meets(given: ApprovalTerms, asked: ApprovalTerms): boolean {
  return (
    given.by >= asked.by &&
    asked.capabilities.every((capability) => given.capabilities.includes(capability)) &&
    (given.reasonRequired || !asked.reasonRequired) &&
    SELF.indexOf(given.self) <= SELF.indexOf(asked.self)
  )
}
