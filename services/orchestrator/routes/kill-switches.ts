import { SomaError } from '@soma/contracts/errors'
import { holds } from '@soma/contracts/tenant'
import type { ServiceApp } from '@soma/kernel/http/service'
import { KillScope, KillSwitch, type KillSwitches } from '@soma/kernel/kill/kill-switches'
import { z } from 'zod'

export function killSwitchRoutes(app: ServiceApp, { kill }: { kill: KillSwitches }): void {
  app.post(
    '/v1/kill-switches',
    {
      config: { action: { name: 'http.kill.pull', capability: 'kill.admin', effect: 'write' } },
      schema: {
        summary: 'Stop a tool, capsule, persona, run, project, the tenant, or everything. Acts on the next action of every agent.',
        body: z.strictObject({ scope: KillScope, target: z.string().default('*'), reason: z.string().min(1).max(1000) }),
        response: { 201: KillSwitch },
      },
    },
    async (request, reply) => {
      const { tenant, id: by } = request.principal
      const { scope, target, reason } = request.body
      if (scope === 'everything' && !holds(request.principal, 'kill.everything'))
        throw new SomaError('forbidden', 'Stopping everything crosses tenants and needs the capability kill.everything.')
      if (target === '*' && scope !== 'everything' && scope !== 'tenant')
        throw new SomaError('invalid_input', `Name the ${scope} to stop as target.`)
      return reply.code(201).send(await kill.pull({ tenant, scope, target, reason, by }))
    },
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
