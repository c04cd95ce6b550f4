import { SomaError } from '@soma/contracts/errors'
import { holds } from '@soma/contracts/tenant'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Identity, personIn, record } from '../identity.ts'
import { endSessions, listSessions } from '../people/sessions.ts'

const SessionShape = z.object({
  id: z.string(),
  userId: z.string(),
  isOwn: z.boolean().describe('The one that asks'),
  createdAt: z.string(),
  lastUsedAt: z.string(),
  expiresAt: z.string(),
  factorAt: z.string().nullable().describe('When a second factor was shown in it'),
  address: z.string().nullable(),
  client: z.string().nullable(),
})
const ofUser = z.string().max(100).optional().describe('Of this user, instead of the own ones; takes the capability session.admin')

/** Sessions of people who signed in here. */
export function sessionRoutes(app: ServiceApp, identity: Identity): void {
  const { sql } = identity

  app.get(
    '/v1/sessions',
    {
      config: { action: { name: 'http.sessions.list', capability: 'me.session', effect: 'read' } },
      schema: {
        summary: 'Open sessions, newest first',
        querystring: PageQuery.extend({ user: ofUser }),
        response: { 200: page(SessionShape) },
      },
    },
    async (request) => {
      const { limit, cursor, user } = request.query
      const userId = userIn(request, user)
      const after = cursor ? decodeCursor(cursor, z.object({ at: z.string(), id: z.string() })) : undefined
      const rows = await listSessions(sql, request.principal.tenant, { userId, after, limit: limit + 1 })
      return pageOf(rows, limit, {
        item: (row) => ({ ...row, isOwn: row.id === request.principal.session }),
        position: ({ id, createdAt }) => ({ at: createdAt, id }),
      })
    },
  )

  app.delete(
    '/v1/sessions/:id',
    {
      config: { action: { name: 'http.sessions.end', capability: 'me.session', effect: 'write' } },
      schema: {
        summary: 'End a session; its tokens are refused',
        params: z.object({ id: z.string().max(100) }),
        querystring: z.object({ user: ofUser }),
        response: { 200: z.object({ ended: z.number() }) },
      },
    },
    async (request) => {
      const { tenant } = request.principal
      const userId = userIn(request, request.query.user)
      const { id } = request.params
      const { rows } = await sql.tenant(tenant).query('select 1 from identity.sessions where id = $1 and user_id = $2', [id, userId])
      if (!rows[0]) throw new SomaError('not_found', `There is no session ${id}.`, { id })
      return ended(request, userId, await endSessions(identity, tenant, { id }))
    },
  )

  app.delete(
    '/v1/sessions',
    {
      config: { action: { name: 'http.sessions.end_all', capability: 'me.session', effect: 'write' } },
      schema: {
        summary: 'End all sessions; of the own ones, all but this one',
        querystring: z.object({ user: ofUser }),
        response: { 200: z.object({ ended: z.number() }) },
      },
    },
    async (request) => {
      const { tenant, session } = request.principal
      const userId = userIn(request, request.query.user)
      return ended(request, userId, await endSessions(identity, tenant, { userId, except: session }))
    },
  )

  function userIn(request: FastifyRequest, user: string | undefined): string {
    const { principal } = request
    if (user === undefined || principal.id === `user:${user}`) return personIn(request).userId
    if (holds(principal, 'session.admin')) return user
    throw new SomaError('forbidden', `${principal.id} lacks session.admin, for sessions of others.`, { capability: 'session.admin' })
  }

  async function ended({ principal }: FastifyRequest, user: string, count: number) {
    await record(identity, principal.tenant, 'identity.sessions_ended', { user, by: principal.id, count })
    return { ended: count }
  }
}
