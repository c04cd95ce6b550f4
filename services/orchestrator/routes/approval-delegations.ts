import type { Approvals } from '@soma/kernel/approvals/approvals'
import { Delegation } from '@soma/kernel/approvals/delegations'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

const Shown = Delegation.omit({ capabilities: true, within: true })

export function approvalDelegationRoutes(app: ServiceApp, { approvals: { delegations } }: { approvals: Approvals }): void {
  app.post(
    '/v1/approval-delegations',
    {
      config: { action: { name: 'http.approvals.delegate', capability: 'approval.delegate', effect: 'write' } },
      schema: {
        summary: 'Let somebody else answer approvals as you could, for a time',
        body: z.strictObject({
          to: z.string().max(200).describe('Their id: user:…, key:…'),
          startsAt: z.iso.datetime().optional().describe('Now when left out'),
          endsAt: z.iso.datetime(),
          reason: z.string().trim().min(1).max(1000),
        }),
        response: { 201: Shown },
      },
    },
    async ({ principal, body }, reply) => {
      const { to, startsAt, endsAt, reason } = body
      const time = { startsAt: startsAt ? new Date(startsAt) : new Date(), endsAt: new Date(endsAt) }
      return reply.code(201).send(await delegations.give({ from: principal, to, reason, ...time }))
    },
  )

  app.get(
    '/v1/approval-delegations',
    {
      config: { action: { name: 'http.approvals.delegations', capability: 'approval.read', effect: 'read' } },
      schema: { summary: 'Delegations in force now or later', response: { 200: z.object({ items: z.array(Shown) }) } },
    },
    async (request) => ({ items: await delegations.list(request.principal.tenant) }),
  )

  app.delete(
    '/v1/approval-delegations/:id',
    {
      config: { action: { name: 'http.approvals.undelegate', capability: 'approval.delegate', effect: 'write' } },
      schema: {
        summary: 'End a delegation at once: one’s own, one that was given to one, or any with approval.admin',
        params: z.object({ id: z.string() }),
        response: { 200: Shown },
      },
    },
    ({ principal, params }) => delegations.end({ by: principal, id: params.id }),
  )
}
