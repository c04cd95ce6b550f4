import { approve, named, question } from '@soma/kernel/approvals/testing'
import { Config } from '@soma/kernel/config/schema'
import type { GateRequest } from '@soma/kernel/gate/gate-request'
import type { Server } from '@soma/kernel/http/server'
import { ALLOWED, openTestServer } from '@soma/kernel/http/testing'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { notificationService } from './service.ts'
import { openReceiver, openTestNotifications } from './testing.ts'

let receiver: Awaited<ReturnType<typeof openReceiver>>
let world: Awaited<ReturnType<typeof openTestNotifications>>
let server: Server
let url: string
const asked: GateRequest[] = []
beforeAll(async () => {
  receiver = await openReceiver()
  world = await openTestNotifications(receiver)
  const { approvals, egress, secrets, sql } = world
  server = await openTestServer([notificationService], {
    config: { http: { ...Config.parse({}).http, port: 0, maxEventLoopDelayMilliseconds: 0 } },
    needs: { approvals, egress, secrets, sql, broadcast: world.broadcast },
    gate: async (request) => {
      asked.push(request)
      return ALLOWED
    },
  })
  url = await server.listen()
})
afterAll(async () => {
  await server.close()
  receiver.close()
  await world.close()
})

const call = async (method: string, path: string, body?: unknown, tenant = 'acme') => {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${tenant}/ada`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects of the answer
  return { status: answer.status, answer: (await answer.json()) as any }
}

test('the secret of a webhook is shown once, and policy is asked about where it leads', async () => {
  const made = await call('POST', '/v1/webhooks', { url: receiver.url })
  expect(made).toMatchObject({
    status: 201,
    answer: { secret: expect.stringMatching(/^whsec_/), webhook: { isOn: true, events: ['approval.*'] } },
  })
  expect(asked.at(-1)?.action).toMatchObject({
    name: 'http.webhooks.create',
    resource: { kind: 'http', host: '127.0.0.1', port: receiver.port, egress_allowed: true },
  })
  const { id } = made.answer.webhook
  const listed = await call('GET', '/v1/webhooks')
  expect(listed.answer.items).toMatchObject([{ id, waiting: 0 }])
  expect(JSON.stringify(listed)).not.toContain('whsec_')
  for (const [method, path] of [
    ['DELETE', `/v1/webhooks/${id}`],
    ['POST', `/v1/webhooks/${id}/on`],
  ] as const)
    expect(await call(method, path, undefined, 'globex')).toMatchObject({ status: 404 })
  expect((await call('GET', '/v1/webhooks', undefined, 'globex')).answer.items).toEqual([])
  expect(await call('DELETE', `/v1/webhooks/${id}`)).toMatchObject({ status: 200 })
  expect(await world.secrets.read('acme', `webhooks/${id}`)).toBeUndefined()
})

test.each(['ftp://example.org/', 'example.org', 'javascript:alert(1)'])('a webhook does not lead to %s', async (target) => {
  expect(await call('POST', '/v1/webhooks', { url: target })).toMatchObject({ status: 400, answer: { code: 'invalid_input' } })
})

test('whoever listens hears what waits and then what happens, and misses nothing when the line was cut', async () => {
  const ask = async (tenant: string) => {
    const { principal, ...rest } = question()
    return (await world.approvals.ask({ ...rest, principal: { ...principal, tenant } })).approval
  }
  const first = await ask('live')
  const line = await listen('live')
  expect(await line.next()).toMatchObject({ event: 'approval.waiting', data: { approval: { id: first.id, status: 'pending' } } })
  await approve(world.elsewhere, first, named('grace', { tenant: 'live' }))
  await ask('another')
  const heard = await line.next()
  expect(heard).toMatchObject({ event: 'approval.approved', data: { approval: { id: first.id, status: 'approved' } } })
  await line.cut()
  const second = await ask('live')
  const again = await listen('live', heard.id)
  expect(await again.next()).toMatchObject({ event: 'approval.requested', data: { approval: { id: second.id } } })
  await again.cut()
})

async function listen(tenant: string, lastEventId?: string) {
  const gone = new AbortController()
  const answer = await fetch(`${url}/v1/notifications/events`, {
    headers: { authorization: `Bearer ${tenant}/ada`, ...(lastEventId ? { 'last-event-id': lastEventId } : {}) },
    signal: gone.signal,
  })
  expect(answer.status).toBe(200)
  const events = answer.body?.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream()).getReader()
  return {
    async next() {
      const { value } = (await events?.read()) ?? {}
      return { id: value?.id, event: value?.event, data: JSON.parse(value?.data ?? '{}') }
    },
    cut: async () => gone.abort(),
  }
}
