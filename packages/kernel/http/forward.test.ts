import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import type { Server } from './server.ts'
import { defineService } from './service.ts'
import { openTestServer } from './testing.ts'

const orders = defineService({
  name: 'orders',
  summary: 'Lives in another process.',
  routes(app) {
    app.post(
      '/v1/orders',
      {
        config: { action: { name: 'http.orders.create', capability: 'order.create', effect: 'write' } },
        schema: { body: z.object({ what: z.string() }), response: { 201: z.object({ what: z.string(), by: z.string() }) } },
      },
      async (request, reply) => reply.code(201).send({ what: request.body.what, by: request.principal.id }),
    )
  },
})
const gateway = defineService({ name: 'gateway-api', summary: 'The door.', routes: () => undefined })

let peer: Server
let door: Server
beforeAll(async () => {
  peer = await openTestServer([orders])
  const url = await peer.app.listen({ host: '127.0.0.1', port: 0 })
  door = await openTestServer([gateway], { config: { peerUrl: url } })
})
afterAll(async () => {
  await door.close()
  await peer.close()
})

const order = (server: Server, authorization?: string) =>
  server.app.inject({ method: 'POST', url: '/v1/orders', payload: { what: 'tea' }, headers: authorization ? { authorization } : {} })

test('the gateway sends on what another process serves, with who asks', async () => {
  const answer = await order(door, 'Bearer acme/ada')
  expect(answer.statusCode).toBe(201)
  expect(answer.json()).toEqual({ what: 'tea', by: 'user:ada' })
})

test('the process that serves it decides who may', async () => {
  expect((await order(door)).statusCode).toBe(401)
})

test('what nobody serves is not found, and is not sent in circles', async () => {
  expect((await door.app.inject('/v1/nothing')).json()).toMatchObject({ code: 'not_found' })
})

test('a process that is not there is a clear answer', async () => {
  const lonely = await openTestServer([gateway], { config: { peerUrl: 'http://127.0.0.1:9' } })
  expect((await order(lonely, 'Bearer acme/ada')).json()).toMatchObject({ code: 'dependency_unavailable' })
  await lonely.close()
})

test('a process tells its own paths from those of others', () => {
  expect(peer.serves('/v1/orders')).toBe(true)
  expect(door.serves('/v1/orders')).toBe(false)
})
