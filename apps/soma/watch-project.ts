import { SomaError } from '@soma/contracts/errors'
import type { Project } from '@soma/contracts/project'
import { answerApproval } from './answer-approval.ts'
import type { Connection } from './connection.ts'
import { EXIT, type ExitCode } from './exit-codes.ts'
import { followProject, isHeld, pendingApprovals } from './follow-project.ts'
import { openLiveView } from './live-view.ts'
import type { Session } from './session.ts'
import type { PendingApproval } from './tree.ts'

export interface Watched {
  project: Project
  /** What still waits for a person. */
  approvals: PendingApproval[]
}

export interface WatchOptions {
  /** Approves whatever is asked for. */
  approve?: boolean
}

/** Shows a project until it ended, or until nothing goes on before a person or policy says so. On a terminal the person is asked. */
export async function watchProject(session: Session, connection: Connection, id: string, options: WatchOptions = {}): Promise<Watched> {
  const view = openLiveView(session)
  const leaving = new AbortController()
  const handled = new Set<string>()
  const refusals: string[] = []
  let watched: Watched | undefined
  let isAsking = false

  const decide = async (approval: PendingApproval): Promise<void> => {
    handled.add(approval.id)
    isAsking = true
    try {
      const answer = options.approve ? { approve: true } : await view.ask(approval)
      if (answer !== undefined) await answerApproval(connection, approval.id, answer)
    } catch (error) {
      // Somebody else must answer this one, and can.
      if (!SomaError.is(error, 'forbidden')) throw error
      refusals.push(error.message)
    } finally {
      isAsking = false
    }
    await leaveWhenHeld()
  }
  const leaveWhenHeld = async (): Promise<void> => {
    if (!watched || isAsking) return
    const next = canBeAsked(session, options) ? watched.approvals.find((approval) => !handled.has(approval.id)) : undefined
    if (next) void decide(next).catch((error) => leaving.abort(error))
    else if (isHeld(watched.project, watched.approvals)) {
      // An answer that is on its way may still change what the project waits for.
      const approvals = await pendingApprovals(connection, id)
      if (isHeld(watched.project, approvals)) leaving.abort()
    }
  }

  try {
    for await (const project of followProject(connection, id, leaving.signal)) {
      const approvals = project.deliverables.some(({ status }) => status === 'awaiting_approval' || status === 'running')
        ? await pendingApprovals(connection, id)
        : []
      watched = { project, approvals }
      view.show(project, approvals)
      await leaveWhenHeld()
    }
    if (leaving.signal.reason instanceof Error && leaving.signal.reason.name !== 'AbortError') throw leaving.signal.reason
    return watched as Watched
  } finally {
    view.end()
    for (const refusal of refusals) session.terminal.note(refusal)
  }
}

function canBeAsked({ terminal }: Session, { approve }: WatchOptions): boolean {
  return approve === true || terminal.isInteractive
}

/** 0 when all was made, 1 when something failed, 4 when it waits for a person or was stopped by policy. */
export function exitCodeOfProject({ status, deliverables }: Project): ExitCode {
  if (status === 'failed' || status === 'cancelled' || deliverables.some((each) => each.status === 'failed')) return EXIT.failed
  return status === 'done' ? EXIT.done : EXIT.denied
}
