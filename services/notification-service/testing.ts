import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { approve, openTestApprovals, question } from '@soma/kernel/approvals/testing'
import { createEgress } from '@soma/kernel/egress/egress'
import { openPostgresSecrets } from '@soma/ports/secrets/postgres'
import { NOTIFICATION_MIGRATIONS } from './migrations.ts'
import { sendWebhooks } from './webhooks/send-webhooks.ts'
import { createWebhookStore } from './webhooks/webhook-store.ts'

export interface Received {
  headers: IncomingHttpHeaders
  body: string
}

/** A server somewhere that wants to be told. `answer` says with which status it answers. */
export async function openReceiver() {
  const received: Received[] = []
  const receiver = { received, answer: (_: Received): number => 204, url: '', port: 0, close: () => server.close() }
  const server = createServer(async (request, response) => {
    const delivery = { headers: request.headers, body: await text(request) }
    const status = receiver.answer(delivery)
    if (status < 300) received.push(delivery)
    response.writeHead(status).end()
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  receiver.port = (server.address() as AddressInfo).port
  receiver.url = `http://127.0.0.1:${receiver.port}/hook`
  return receiver
}

/** Approvals, and what is needed to tell of them; `port` of this machine may be told. */
export async function openTestNotifications({ port }: { port: number }) {
  const world = await openTestApprovals()
  await world.sql.migrate('notification', NOTIFICATION_MIGRATIONS)
  const secrets = await openPostgresSecrets(world.sql, { masterKey: randomBytes(32) })
  const egress = createEgress({ maxBytes: 1_000_000, timeoutMilliseconds: 5000, maxRedirects: 0, allowPrivate: [`127.0.0.1:${port}`] })
  const store = createWebhookStore(world.sql)
  const parts = { egress, secrets, store, logger: { warn: () => undefined } }
  return {
    ...world,
    ...parts,
    /** Begins to send, as one process does. */
    start: (approvals = world.approvals) => sendWebhooks({ ...parts, approvals }),
    /** Somebody asks and somebody else approves: two changes. */
    async askAndApprove(tenant = 'acme'): Promise<string> {
      const asked = question()
      const { approval } = await world.approvals.ask({ ...asked, principal: { ...asked.principal, tenant } })
      await approve(world.elsewhere, approval, { id: 'user:grace', kind: 'user', tenant, capabilities: ['*'], within: [] })
      return approval.id
    },
    async close() {
      await egress.close()
      await secrets.close()
      await world.close()
    },
  }
}
