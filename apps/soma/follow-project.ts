import type { Project } from '@soma/contracts/project'
import { answerOf } from '@soma/sdk/client'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import type { Connection } from './connection.ts'
import type { PendingApproval } from './tree.ts'

/** Milliseconds between looks when there is no event stream. */
const LOOK_EVERY = 500
const ENDED: readonly string[] = ['done', 'failed', 'cancelled']

/** The project whenever it changed, first as it is now, until it ended. A cut stream is replaced by looking now and then. */
export async function* followProject(connection: Connection, id: string, signal: AbortSignal): AsyncGenerator<Project> {
  while (!signal.aborted) {
    for await (const project of projectEvents(connection, id, signal)) {
      yield project
      if (ENDED.includes(project.status)) return
    }
    if (signal.aborted) return
    const project = await readProject(connection, id)
    yield project
    if (ENDED.includes(project.status)) return
    await pause(LOOK_EVERY, signal)
  }
}

async function* projectEvents(connection: Connection, id: string, signal: AbortSignal): AsyncGenerator<Project> {
  try {
    const answer = await connection.fetch(`/v1/projects/${encodeURIComponent(id)}/events`, { signal })
    if (!answer.ok || !answer.body) return await answer.body?.cancel()
    const events = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
    for await (const { event, data } of events) {
      if (event === 'ended') return
      if (event === 'project') yield JSON.parse(data) as Project
    }
  } catch {
    // Cut off: the caller looks by itself, and what is wrong with the server shows there.
  }
}

export async function readProject({ client }: Connection, id: string): Promise<Project> {
  return (await answerOf(client.GET('/v1/projects/{id}', { params: { path: { id } } }))) as Project
}

/** What waits for a person, in a project or everywhere. */
export async function pendingApprovals({ client }: Connection, project?: string): Promise<(PendingApproval & { run?: string })[]> {
  const query = { status: 'pending' as const, limit: 100, ...(project ? { project } : {}) }
  return (await answerOf(client.GET('/v1/approvals', { params: { query } }))).items
}

/**
 * Nothing goes on before a person or policy says so: the project waits, and of what awaits approval everything is still undecided; or all
 * that runs waits for an answer.
 */
export function isHeld(project: Project, approvals: readonly PendingApproval[]): boolean {
  const isAsked = (id: string) => approvals.some(({ deliverable }) => deliverable === id)
  if (project.status === 'waiting') return project.deliverables.every(({ id, status }) => status !== 'awaiting_approval' || isAsked(id))
  const running = project.deliverables.filter(({ status }) => status === 'running')
  return project.status === 'running' && running.length > 0 && running.every(({ id }) => isAsked(id))
}

export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    signal.addEventListener('abort', done)
  })
}
