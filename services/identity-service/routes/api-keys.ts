import { issueApiKey, listApiKeys, revokeApiKey, rotateApiKey } from '@soma/kernel/auth/api-keys'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { Sql } from '@soma/ports/sql/port'
import { z } from 'zod'

const ApiKey = z.object({
  id: z.string(),
  name: z.string(),
  capabilities: z.array(z.string()),
  holder: z.string().nullable().describe('The user or service account by whose rights it is bound, and with whom it ends'),
  createdBy: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
  lastUsedAt: z.string().nullable().describe('To the minute'),
  replaces: z.string().nullable().describe('The key that it took the place of'),
})
export const MadeKey = z.object({ key: z.string(), record: ApiKey })
export const KeyRequest = z.strictObject({
  name: z.string().min(1).max(100),
  capabilities: z.array(z.string()).min(1).describe('Patterns; no more than the caller holds'),
  expiresAt: z.iso.datetime().optional(),
})

export function apiKeyRoutes(app: ServiceApp, { sql }: { sql: Sql }): void {
  app.post(
    '/v1/api-keys',
    {
      config: { action: { name: 'http.keys.create', capability: 'key.create', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Make an API key. The key itself is shown this once.',
        body: KeyRequest,
        response: { 201: MadeKey },
      },
    },
    async (request, reply) => {
      const { name, capabilities, expiresAt } = request.body
      const made = await issueApiKey(
        sql,
        { tenant: request.principal.tenant, name, capabilities, ...(expiresAt ? { expiresAt: new Date(expiresAt) } : {}) },
        request.principal,
      )
      return reply.code(201).send(made)
    },
  )

  app.get(
    '/v1/api-keys',
    {
      config: { action: { name: 'http.keys.list', capability: 'key.read', effect: 'read' } },
      schema: { summary: 'API keys of the tenant', querystring: PageQuery, response: { 200: page(ApiKey) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const afterId = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await listApiKeys(sql, request.principal.tenant, { afterId, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: (row) => row.id })
    },
  )

  app.post(
    '/v1/api-keys/:id/rotate',
    {
      config: { action: { name: 'http.keys.rotate', capability: 'key.create', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Make a key that takes the place of another one, which goes on for a while. The key itself is shown this once.',
        params: z.object({ id: z.string() }),
        body: z
          .strictObject({
            overlapSeconds: z.number().int().min(0).max(2_592_000).default(86_400).describe('How long the old key still works'),
          })
          .default({ overlapSeconds: 86_400 }),
        response: { 201: MadeKey },
      },
    },
    async ({ principal, params: { id }, body }, reply) =>
      reply.code(201).send(await rotateApiKey(sql, { id, overlapSeconds: body.overlapSeconds }, principal)),
  )

  app.delete(
    '/v1/api-keys/:id',
    {
      config: { action: { name: 'http.keys.revoke', capability: 'key.revoke', effect: 'write' } },
      schema: {
        summary: 'Revoke an API key; its next request is refused',
        params: z.object({ id: z.string() }),
        response: { 200: ApiKey },
      },
    },
    (request) => revokeApiKey(sql, request.principal.tenant, request.params.id),
  )
}
