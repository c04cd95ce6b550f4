import { RoleName } from '@soma/contracts/roles'
import type { Principal } from '@soma/contracts/tenant'
import { issueApiKey } from '@soma/kernel/auth/api-keys'
import { assertMayChange } from '@soma/kernel/auth/held-capabilities'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { type Identity, record } from '../identity.ts'
import { capabilitiesOfRoles } from '../people/roles.ts'
import {
  addServiceAccount,
  changeServiceAccount,
  deleteServiceAccount,
  findServiceAccount,
  listServiceAccounts,
} from '../people/service-accounts.ts'
import { KeyRequest, MadeKey } from './api-keys.ts'
import { assertMayGiveRoles } from './users.ts'

const Account = z.object({
  id: z.string(),
  summary: z.string(),
  roles: z.array(z.string()),
  isActive: z.boolean(),
  createdBy: z.string(),
  createdAt: z.string(),
})
const AccountId = z.string().regex(/^[a-z][a-z0-9-]{1,39}$/, 'An account is 2 to 40 lower-case letters, digits or dashes.')
const Id = z.object({ id: AccountId })
const roles = z.array(RoleName).max(20)
const summary = z.string().min(1).max(200)

/** Programs that speak for themselves. */
export function serviceAccountRoutes(app: ServiceApp, identity: Identity): void {
  const { sql } = identity

  app.post(
    '/v1/service-accounts',
    {
      config: { action: { name: 'http.accounts.create', capability: 'account.admin', effect: 'write' } },
      schema: {
        summary: 'Make a service account with these roles',
        body: z.strictObject({ id: AccountId, summary, roles }),
        response: { 201: Account },
      },
    },
    async ({ principal, body }, reply) => {
      await assertMayGiveRoles(identity, principal, body.roles)
      const account = await addServiceAccount(identity, principal.tenant, { ...body, createdBy: principal.id })
      await record(identity, principal.tenant, 'identity.account_made', { account: body.id, roles: body.roles, by: principal.id })
      return reply.code(201).send(account)
    },
  )

  app.get(
    '/v1/service-accounts',
    {
      config: { action: { name: 'http.accounts.list', capability: 'account.read', effect: 'read' } },
      schema: { summary: 'Service accounts of the tenant', querystring: PageQuery, response: { 200: page(Account) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const afterId = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await listServiceAccounts(sql, request.principal.tenant, { afterId, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.patch(
    '/v1/service-accounts/:id',
    {
      config: { action: { name: 'http.accounts.change', capability: 'account.admin', effect: 'write' } },
      schema: {
        summary: 'Change a service account; one that is disabled is out at once, with all its keys',
        params: Id,
        body: z.strictObject({ summary: summary.optional(), roles: roles.optional(), isActive: z.boolean().optional() }),
        response: { 200: Account },
      },
    },
    async ({ principal, params: { id }, body }) => {
      await assertMayChangeAccount(principal, id)
      if (body.roles) await assertMayGiveRoles(identity, principal, body.roles)
      const account = await changeServiceAccount(identity, principal.tenant, id, body)
      await record(identity, principal.tenant, 'identity.account_changed', { account: id, by: principal.id, change: body })
      return account
    },
  )

  app.delete(
    '/v1/service-accounts/:id',
    {
      config: { action: { name: 'http.accounts.delete', capability: 'account.admin', effect: 'destructive' } },
      schema: { summary: 'Delete a service account; its keys end', params: Id, response: { 200: Account } },
    },
    async ({ principal, params: { id } }) => {
      await assertMayChangeAccount(principal, id)
      const account = await deleteServiceAccount(identity, principal.tenant, id)
      await record(identity, principal.tenant, 'identity.account_deleted', { account: id, by: principal.id })
      return account
    },
  )

  app.post(
    '/v1/service-accounts/:id/keys',
    {
      config: { action: { name: 'http.accounts.keys.create', capability: 'account.admin', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Make an API key that stands for a service account. The key itself is shown this once.',
        params: Id,
        body: KeyRequest,
        response: { 201: MadeKey },
      },
    },
    async ({ principal, params: { id }, body }, reply) => {
      const { tenant } = principal
      await assertMayChangeAccount(principal, id)
      const { name, capabilities, expiresAt } = body
      const made = await issueApiKey(
        sql,
        { tenant, name, capabilities, account: id, ...(expiresAt ? { expiresAt: new Date(expiresAt) } : {}) },
        principal,
      )
      return reply.code(201).send(made)
    },
  )

  async function assertMayChangeAccount(principal: Principal, id: string): Promise<void> {
    const { roles: held } = await findServiceAccount(sql, principal.tenant, id)
    assertMayChange(principal, `the service account ${id}`, await capabilitiesOfRoles(sql, principal.tenant, held))
  }
}
