import { isDeepStrictEqual } from 'node:util'
import type { Project } from '@soma/contracts/project'
import type { Principal } from '@soma/contracts/tenant'
import { sendEvents } from '@soma/kernel/http/server-sent-events'
import type { ServiceApp, ServiceContext } from '@soma/kernel/http/service'
import { bodyOf } from '@soma/kernel/platform/internal-fetch'
import { z } from 'zod'
import type { LiveRuns } from '../live-runs.ts'

/** Milliseconds after which a watcher looks even when nobody said that something changed. */
const LOOK_EVERY = 5000
const ENDED: readonly string[] = ['done', 'failed', 'cancelled']
const Params = z.object({ id: z.string() })
const action = { capability: 'project.read', effect: 'read' } as const

export function projectProgressRoutes(app: ServiceApp, { fetchAs, live }: Pick<ServiceContext, 'fetchAs'> & { live: LiveRuns }): void {
  const read = (principal: Principal, id: string) => bodyOf<Project>(fetchAs(principal)(`/v1/projects/${encodeURIComponent(id)}`))

  /** The project whenever it changed, first as it is now, until it ended. */
  async function* follow(principal: Principal, id: string, first: Project, signal: AbortSignal): AsyncGenerator<Project> {
    const watcher = live.watch(principal.tenant, id)
    try {
      yield first
      for (let last = first; !ENDED.includes(last.status); ) {
        await watcher.next(LOOK_EVERY, signal)
        if (signal.aborted) return
        const now = await read(principal, id)
        if (isDeepStrictEqual(now, last)) continue
        yield now
        last = now
      }
    } finally {
      watcher.stop()
    }
  }

  app.get(
    '/v1/projects/:id/events',
    {
      config: { action: { name: 'http.projects.events', ...action } },
      schema: {
        summary: 'Live progress as server-sent events: `project` with the whole project at each change, `ended` at the end',
        params: Params,
      },
    },
    async (request, reply) => {
      const { principal } = request
      const { id } = request.params
      const first = await read(principal, id)
      return sendEvents(request, reply, async function* ({ signal }) {
        for await (const project of follow(principal, id, first, signal)) yield { event: 'project', data: project }
        yield { event: 'ended', data: { id } }
      })
    },
  )

  app.get(
    '/v1/projects/:id/stream',
    {
      websocket: true,
      config: { action: { name: 'http.projects.stream', ...action } },
      schema: { summary: 'Live progress by WebSocket: one JSON text per change', params: Params },
    },
    async (socket, request) => {
      const gone = new AbortController()
      socket.on('close', () => gone.abort())
      const { id } = request.params
      try {
        const first = await read(request.principal, id)
        for await (const project of follow(request.principal, id, first, gone.signal)) socket.send(JSON.stringify(project))
        socket.close(1000)
      } catch (error) {
        request.log.warn({ err: error }, 'a live stream ended early')
        socket.close(1011, 'the project can not be read')
      }
    },
  )
}
