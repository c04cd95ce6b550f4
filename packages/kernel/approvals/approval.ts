import { ApprovalTerms } from '@soma/contracts/approval-terms'
import { sha256 } from '@soma/contracts/journal'
import { type Action, Effect, Reason } from '@soma/contracts/policy'
import canonicalize from 'canonicalize'
import { z } from 'zod'

export const APPROVAL_STATUSES = ['pending', 'approved', 'rejected', 'expired'] as const
export type ApprovalStatus = (typeof APPROVAL_STATUSES)[number]

/** What one person said. */
export const ApprovalWord = z.object({
  by: z.string(),
  onBehalfOf: z.string().optional().describe('Who had delegated their approvals to them, when it was that which let them decide'),
  approve: z.boolean(),
  reason: z.string().optional(),
  at: z.string(),
})
export type ApprovalWord = z.infer<typeof ApprovalWord>

export const Approval = z.object({
  id: z.string(),
  action: z.string().describe('What is asked for: deliverable.start, tool.git.commit…'),
  effect: Effect,
  resource: z.record(z.string(), z.unknown()).describe('What it acts on'),
  summary: z.string().describe('One sentence for the person who decides'),
  arguments: z.unknown().describe('Exactly what will be done'),
  reversedBy: z.string().optional().describe('The operation that takes it back; without it, none does'),
  labels: z.array(z.string()).describe('Of the data that led to it: "untrusted" came from outside'),
  digest: z.string().describe('sha-256 of action, effect, resource and arguments; a change in any of them makes the approval void'),
  reasons: z.array(Reason),
  terms: ApprovalTerms.describe('Who must approve'),
  requestedBy: z.string(),
  onBehalfOf: z.string().optional().describe('Whom the agent that asks acts for'),
  run: z.string().optional(),
  project: z.string().optional(),
  deliverable: z.string().optional(),
  status: z
    .enum(APPROVAL_STATUSES)
    .describe(
      'pending until enough people approved, one rejected, or the time was over; expired also when it was approved and not used in time',
    ),
  requestedAt: z.string(),
  expiresAt: z.string().describe('Until when it can be answered, and once approved, used'),
  words: z.array(ApprovalWord),
  decidedAt: z.string().optional(),
  decidedBy: z.string().optional().describe('Whose word settled it'),
  usedAt: z.string().optional(),
  usedFor: z.string().optional().describe('Key of the one action that it was used for'),
})
export type Approval = z.infer<typeof Approval>

/** The action that policy is asked about before a deliverable is begun. Its approval covers what the deliverable then does. */
export const DELIVERABLE_START = 'deliverable.start'

/** What of an action an approval is bound to: all that a person is shown of what will happen. */
export type ActionToApprove = Pick<Action, 'name' | 'effect' | 'resource' | 'arguments'>

export function approvalDigest({ name, effect, resource, arguments: args }: ActionToApprove): string {
  return sha256(canonicalize({ action: name, effect, resource, arguments: args ?? null }) ?? '')
}
