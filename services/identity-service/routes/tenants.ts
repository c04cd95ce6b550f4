import { SomaError } from '@soma/contracts/errors'
import { TenantId } from '@soma/contracts/tenant'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { assertSignsInHere, type Identity, record } from '../identity.ts'
import { invite } from '../people/invitations.ts'
import { addTenant, findTenant, listTenants, renameTenant } from '../tenants.ts'
import { Link } from './invitations.ts'
import { email } from './sign-in.ts'

const Tenant = z.object({ id: z.string(), name: z.string(), createdAt: z.string() })
const name = z.string().min(1).max(200)

export function tenantRoutes(app: ServiceApp, identity: Identity): void {
  const { sql, config } = identity

  app.post(
    '/v1/tenants',
    {
      config: { action: { name: 'http.tenants.create', capability: 'platform.tenants', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Make a tenant, and the link by which its first administrator comes in',
        body: z.strictObject({ id: TenantId, name, administrator: email }),
        response: { 201: z.object({ tenant: Tenant, link: Link }) },
      },
    },
    async ({ principal, body }, reply) => {
      assertSignsInHere(identity)
      const tenant = await addTenant(sql, body)
      const link = await invite(sql, body.id, {
        purpose: 'join',
        email: body.administrator,
        roles: ['administrator'],
        createdBy: principal.id,
        hours: config.auth.accounts.invitationHours,
      })
      await record(identity, body.id, 'identity.tenant_made', { by: principal.id, from: principal.tenant })
      return reply.code(201).send({ tenant, link })
    },
  )

  app.get(
    '/v1/tenants',
    {
      config: { action: { name: 'http.tenants.list', capability: 'platform.tenants', effect: 'read' } },
      schema: { summary: 'Tenants of the platform', querystring: PageQuery, response: { 200: page(Tenant) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const afterId = cursor ? decodeCursor(cursor, z.string()) : undefined
      return pageOf(await listTenants(sql, { afterId, limit: limit + 1 }), limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.get(
    '/v1/tenant',
    {
      config: { action: { name: 'http.tenant.read', capability: 'me.read', effect: 'read' } },
      schema: { summary: 'The own tenant', response: { 200: Tenant } },
    },
    async (request) => {
      const tenant = await findTenant(sql, request.principal.tenant)
      if (tenant) return tenant
      throw new SomaError(
        'not_found',
        `The tenant ${request.principal.tenant} was never made here; it is only named by its people’s issuer.`,
      )
    },
  )

  app.patch(
    '/v1/tenant',
    {
      config: { action: { name: 'http.tenant.change', capability: 'tenant.admin', effect: 'write' } },
      schema: { summary: 'Call the own tenant another name', body: z.strictObject({ name }), response: { 200: Tenant } },
    },
    ({ principal, body }) => renameTenant(sql, principal.tenant, body.name),
  )
}
