import { SomaError } from '@soma/contracts/errors'
import { holds, type Principal } from '@soma/contracts/tenant'
import type { ServiceApp } from '@soma/kernel/http/service'
import { DrillReport } from '@soma/kernel/kill/drills'
import { type KillRequest, KillScope, KillSwitch } from '@soma/kernel/kill/kill-switch'
import type { KillSwitches } from '@soma/kernel/kill/kill-switches'
import { z } from 'zod'

const Body = z.strictObject({ scope: KillScope, target: z.string().default('*'), reason: z.string().min(1).max(1000) })

export function killSwitchRoutes(app: ServiceApp, { kill }: { kill: KillSwitches }): void {
  app.post(
    '/v1/kill-switches',
    {
      config: { action: { name: 'http.kill.pull', capability: 'kill.admin', effect: 'write' } },
      schema: {
        summary: 'Stop a tool, capsule, persona, run, project, the tenant, or everything. Acts on the next action of every agent.',
        body: Body,
        response: { 201: KillSwitch },
      },
    },
    async (request, reply) => reply.code(201).send(await kill.pull(requestOf(request.principal, request.body))),
  )

  app.post(
    '/v1/kill-switches/drills',
    {
      config: { action: { name: 'http.kill.drill', capability: 'kill.admin', effect: 'write' } },
      schema: {
        summary: 'Pull a switch for show: how soon every process sees it, and which actions under way it would have met. Stops nothing.',
        body: Body,
        response: { 201: DrillReport },
      },
    },
    async (request, reply) => reply.code(201).send(await kill.drill(requestOf(request.principal, request.body))),
  )

  app.get(
    '/v1/kill-switches',
    {
      config: { action: { name: 'http.kill.list', capability: 'kill.admin', effect: 'read' } },
      schema: {
        summary: 'Kill switches that are pulled, and with `all` those that were',
        querystring: z.object({ all: z.stringbool().default(false) }),
        response: { 200: z.object({ items: z.array(KillSwitch) }) },
      },
    },
    async (request) => ({ items: await kill.list(request.principal.tenant, { includeLifted: request.query.all }) }),
  )

  app.post(
    '/v1/kill-switches/:id/lift',
    {
      config: { action: { name: 'http.kill.lift', capability: 'kill.admin', effect: 'write' } },
      schema: { summary: 'Let what was stopped go on', params: z.object({ id: z.string() }), response: { 200: KillSwitch } },
    },
    (request) => kill.lift({ tenant: request.principal.tenant, id: request.params.id, by: request.principal.id }),
  )
}

/** @throws `forbidden`, `invalid_input` */
function requestOf(principal: Principal, { scope, target, reason }: z.output<typeof Body>): KillRequest {
  if (scope === 'everything' && !holds(principal, 'kill.everything'))
    throw new SomaError('forbidden', 'Stopping everything crosses tenants and needs the capability kill.everything.')
  if (target === '*' && scope !== 'everything' && scope !== 'tenant')
    throw new SomaError('invalid_input', `Name the ${scope} to stop as target.`)
  return { tenant: principal.tenant, scope, target, reason, by: principal.id }
}
