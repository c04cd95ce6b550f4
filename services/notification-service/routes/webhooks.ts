import { randomBytes, randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { RouteAction } from '@soma/kernel/http/action'
import type { Needs, ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { secretName } from '../webhooks/send-webhooks.ts'
import { Webhook, type WebhookStore } from '../webhooks/webhook-store.ts'

const Id = z.object({ id: z.string() })
const Body = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'must be an http or https URL' }).max(2000),
  events: z
    .array(
      z
        .string()
        .regex(
          /^approval\.(\*|requested|supported|approved|rejected|expired|used)$/,
          'must be approval.* or an event such as approval.requested',
        ),
    )
    .min(1)
    .default(['approval.*']),
})

type Parts = Pick<Needs, 'approvals' | 'egress' | 'secrets'> & { store: WebhookStore }

export function webhookRoutes(app: ServiceApp, { approvals, egress, secrets, store }: Parts): void {
  /** Where data will go, as rules about requests to the outside see it. */
  const target: RouteAction['resource'] = (request) => {
    const { url } = request.body as z.output<typeof Body>
    const { hostname, port, protocol } = new URL(url)
    const number = Number(port || (protocol === 'https:' ? 443 : 80))
    return { kind: 'http', host: hostname, port: number, egress_allowed: egress.isException(hostname.replace(/^\[|\]$/g, ''), number) }
  }

  app.post(
    '/v1/webhooks',
    {
      config: {
        action: { name: 'http.webhooks.create', capability: 'notification.write', effect: 'write', resource: target },
        idempotency: false,
      },
      schema: {
        summary: 'Have a server told what happens to approvals. The secret that signs is shown this once.',
        body: Body,
        response: { 201: z.object({ webhook: Webhook, secret: z.string().describe('whsec_…, as Standard Webhooks has it') }) },
      },
    },
    async ({ principal: { tenant, id: createdBy }, body }, reply) => {
      const id = randomUUID()
      const secret = `whsec_${randomBytes(32).toString('base64')}`
      await secrets.write(tenant, secretName(id), secret)
      const { end: after } = await approvals.changes(tenant)
      return reply.code(201).send({ webhook: await store.add(tenant, { id, ...body, createdBy, after }), secret })
    },
  )

  app.get(
    '/v1/webhooks',
    {
      config: { action: { name: 'http.webhooks.list', capability: 'notification.read', effect: 'read' } },
      schema: { summary: 'Webhooks of the tenant, and how they are', response: { 200: z.object({ items: z.array(Webhook) }) } },
    },
    async (request) => ({ items: await store.list(request.principal.tenant) }),
  )

  app.post(
    '/v1/webhooks/:id/on',
    {
      config: { action: { name: 'http.webhooks.on', capability: 'notification.write', effect: 'write' } },
      schema: {
        summary: 'Send again to a webhook that was switched off, or try at once what waits',
        params: Id,
        response: { 200: Webhook },
      },
    },
    async ({ principal, params: { id } }) => found(await store.turnOn(principal.tenant, id), id),
  )

  app.delete(
    '/v1/webhooks/:id',
    {
      config: { action: { name: 'http.webhooks.delete', capability: 'notification.write', effect: 'write' } },
      schema: { summary: 'Delete a webhook with what waits for it', params: Id, response: { 200: Webhook } },
    },
    async ({ principal: { tenant }, params: { id } }) => {
      const removed = found(await store.remove(tenant, id), id)
      await secrets.delete(tenant, secretName(id))
      return removed
    },
  )
}

function found(webhook: Webhook | undefined, id: string): Webhook {
  if (webhook) return webhook
  throw new SomaError('not_found', `There is no webhook ${id}.`, { id })
}
