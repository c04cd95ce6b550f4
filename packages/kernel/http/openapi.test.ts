import { Validator } from '@seriousme/openapi-schema-validator'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import type { Server } from './server.ts'
import { defineService } from './service.ts'
import { openTestServer } from './testing.ts'

const Note = z.object({ id: z.string(), text: z.string() })
const notes = defineService({
  name: 'notes',
  summary: 'Keeps notes.',
  routes: (app) => {
    app.post(
      '/v1/notes',
      {
        config: { action: { name: 'http.notes.create', capability: 'notes.create', effect: 'write' } },
        schema: { summary: 'Keep a note', body: z.object({ text: z.string() }), response: { 201: Note } },
      },
      async (_request, reply) => reply.code(201).send({ id: '1', text: '' }),
    )
    app.delete(
      '/v1/notes/:id',
      {
        config: { action: { name: 'http.notes.delete', capability: 'notes.delete', effect: 'destructive' } },
        schema: { params: z.object({ id: z.string() }) },
      },
      async () => undefined,
    )
  },
})

let server: Server
interface Operation {
  operationId: string
  tags: string[]
  security?: unknown[]
  parameters?: { $ref?: string }[]
  responses: Record<string, { $ref?: string; headers?: Record<string, unknown> }>
}
let document: { openapi: string; paths: Record<string, Record<string, Operation>> }
beforeAll(async () => {
  server = await openTestServer([notes])
  document = (await server.app.inject('/openapi.json')).json()
})
afterAll(() => server.close())

test('the document is valid OpenAPI 3.1', async () => {
  const result = await new Validator().validate(structuredClone(document))
  expect(result.errors ?? []).toEqual([])
  expect(result.valid).toBe(true)
  expect(document.openapi).toMatch(/^3\.1/)
})

test('every operation has an id, may answer a problem and tells the rate limit', () => {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods))
  expect(operations.length).toBeGreaterThanOrEqual(7)
  for (const operation of operations) {
    expect(operation.operationId).toMatch(/^http\./)
    expect(operation.responses.default).toEqual({ $ref: '#/components/responses/Problem' })
  }
  expect(document.paths['/v1/notes']?.post?.responses['201']?.headers).toHaveProperty('ratelimit-remaining')
})

test('credentials and Idempotency-Key are asked for where they are, and nowhere else', () => {
  const create = document.paths['/v1/notes']?.post
  expect(create?.tags).toEqual(['notes'])
  expect(create?.security).toEqual([{ bearer: [] }])
  expect(create?.parameters).toContainEqual({ $ref: '#/components/parameters/IdempotencyKey' })
  const health = document.paths['/health']?.get
  expect(health?.security).toBeUndefined()
  expect(health?.parameters).toBeUndefined()
  expect(Object.keys(document.paths).filter((path) => path.startsWith('/docs'))).toEqual([])
})
