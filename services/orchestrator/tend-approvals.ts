import type { ApprovalAnswer } from '@soma/contracts/capsule-run'
import { SomaError } from '@soma/contracts/errors'
import type { ProjectWord } from '@soma/contracts/project-run'
import { type Approval, DELIVERABLE_START } from '@soma/kernel/approvals/approval'
import type { Needs, ServiceContext } from '@soma/kernel/http/service'
import type { Workflows } from '@soma/ports/workflows/port'

/** Milliseconds between looks for approvals whose time is over. */
const LOOK_EVERY = 2000

type Parts = Pick<Needs, 'approvals' | 'workflows'> & { logger: Pick<ServiceContext['logger'], 'warn'> }

/**
 * Tells runs what became of what they asked people for, and ends what nobody answered in time. What is settled is told from the journal,
 * so that no run waits for an answer that was given just before a crash. Returns how to stop.
 */
export function tendApprovals({ approvals, workflows, logger }: Parts): () => Promise<void> {
  const stopFollowing = approvals.follow('orchestrator', async ({ tenant, kind, approval }) => {
    const answer = answerOf(kind, approval)
    if (answer) await tellWhoWaits(workflows, tenant, approval, answer)
  })
  let isLooking: Promise<void> | undefined
  const timer = setInterval(() => {
    isLooking ??= approvals
      .expireOverdue()
      .catch((error) => logger.warn({ err: error }, 'approvals whose time is over could not be ended; tried again soon'))
      .finally(() => {
        isLooking = undefined
      })
  }, LOOK_EVERY)
  return async () => {
    clearInterval(timer)
    await Promise.all([isLooking, stopFollowing()])
  }
}

/** What to tell the run; undefined for what does not settle the approval. */
function answerOf(kind: string, { words }: Approval): ApprovalAnswer | undefined {
  if (kind === 'approval.expired') return { approved: false, by: 'platform', expired: true }
  if (kind !== 'approval.approved' && kind !== 'approval.rejected') return undefined
  const word = words.at(-1)
  return { approved: kind === 'approval.approved', by: word?.by ?? '', ...(word?.reason ? { reason: word.reason } : {}) }
}

async function tellWhoWaits(workflows: Workflows, tenant: string, approval: Approval, answer: ApprovalAnswer): Promise<void> {
  // A call over the API waits for nobody.
  if (approval.run === undefined) return
  const word: ProjectWord = { kind: 'approval', id: approval.id, ...answer }
  const signal =
    approval.action === DELIVERABLE_START ? { name: 'word', payload: word } : { name: `approval:${approval.id}`, payload: answer }
  await workflows.signal({ tenant, runId: approval.run, ...signal }).catch((error) => {
    // The run may have ended meanwhile: the decision stands all the same.
    if (!SomaError.is(error, 'not_found') && !SomaError.is(error, 'conflict')) throw error
  })
}
