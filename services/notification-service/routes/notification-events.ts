import type { ApprovalChange } from '@soma/kernel/approvals/follow-approvals'
import { type ServerSentEvent, sendEvents } from '@soma/kernel/http/server-sent-events'
import type { Needs, ServiceApp } from '@soma/kernel/http/service'
import { changeSignal } from '../change-signal.ts'

/** Milliseconds after which a watcher looks even when nobody said that something changed. */
const LOOK_EVERY = 5000
/** Told to who begins to listen; the newest. */
const MOST_WAITING = 200

export function notificationEventRoutes(app: ServiceApp, { approvals }: Pick<Needs, 'approvals'>): void {
  /** What waits now, unless the listener says up to where it heard; then everything that happens. */
  async function* listen(tenant: string, heard: string | undefined, signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
    const changed = changeSignal(approvals.onChange)
    try {
      let end = heard ?? (await approvals.changes(tenant)).end
      const waiting = heard === undefined ? await approvals.list(tenant, { status: ['pending'], limit: MOST_WAITING }) : []
      for (const approval of waiting) yield { id: end, event: 'approval.waiting', data: { approval } }
      while (!signal.aborted) {
        const page = await approvals.changes(tenant, end)
        for (const change of page.changes) yield eventOf(change)
        end = page.end
        if (page.isLast) await changed.next(LOOK_EVERY, signal)
      }
    } finally {
      changed.stop()
    }
  }

  app.get(
    '/v1/notifications/events',
    {
      config: { action: { name: 'http.notifications.events', capability: 'approval.read', effect: 'read' } },
      schema: {
        summary: 'What people should know, as server-sent events: what waits for approval, and whatever becomes of it',
        description:
          'Begins with one `approval.waiting` for each that waits. Then `approval.requested`, `.supported`, `.approved`, `.rejected`, `.expired` and `.used` as they happen. Send the id of the last event as Last-Event-ID to miss none.',
      },
    },
    (request, reply) =>
      sendEvents(request, reply, ({ lastEventId, signal }) => listen(request.principal.tenant, positionOf(lastEventId), signal)),
  )
}

function eventOf({ position, kind, at, approval }: ApprovalChange): ServerSentEvent {
  return { id: position, event: kind, data: { at, approval } }
}

/** Anything else than a position begins anew. */
function positionOf(lastEventId: string | undefined): string | undefined {
  return lastEventId !== undefined && /^\d{1,18}$/.test(lastEventId) ? lastEventId : undefined
}
