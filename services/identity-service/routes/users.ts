import { SomaError } from '@soma/contracts/errors'
import { RoleName } from '@soma/contracts/roles'
import type { Principal } from '@soma/contracts/tenant'
import { assertMayChange, assertMayGive } from '@soma/kernel/auth/held-capabilities'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { type Identity, record } from '../identity.ts'
import { assertRolesExist, capabilitiesOfRoles } from '../people/roles.ts'
import { removeSecondFactor } from '../people/second-factor.ts'
import { endSessions } from '../people/sessions.ts'
import { changeUser, deleteUser, findUser, listUsers, type User } from '../people/users.ts'

export const UserShape = z.object({
  id: z.string(),
  email: z.string(),
  name: z.string(),
  roles: z.array(z.string()),
  isActive: z.boolean(),
  hasPassword: z.boolean(),
  hasSecondFactor: z.boolean(),
  createdAt: z.string(),
  updatedAt: z.string(),
})
const Id = z.object({ id: z.string().max(100) })

/** What administrators do with the users of their tenant. */
export function userRoutes(app: ServiceApp, identity: Identity): void {
  const { sql } = identity

  app.get(
    '/v1/users',
    {
      config: { action: { name: 'http.users.list', capability: 'user.read', effect: 'read' } },
      schema: {
        summary: 'Users of the tenant',
        querystring: PageQuery.extend({ email: z.string().max(254).optional() }),
        response: { 200: page(UserShape) },
      },
    },
    async (request) => {
      const { limit, cursor, email } = request.query
      const afterId = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await listUsers(sql, request.principal.tenant, { afterId, limit: limit + 1, email })
      return pageOf(rows, limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.get(
    '/v1/users/:id',
    {
      config: { action: { name: 'http.users.read', capability: 'user.read', effect: 'read' } },
      schema: { summary: 'A user', params: Id, response: { 200: UserShape } },
    },
    (request) => findUser(sql, request.principal.tenant, request.params.id),
  )

  app.get(
    '/v1/users/:id/capabilities',
    {
      config: { action: { name: 'http.users.capabilities', capability: 'user.read', effect: 'read' } },
      schema: {
        summary: 'What a user may, and by which roles',
        params: Id,
        response: { 200: z.object({ roles: z.array(z.string()), capabilities: z.array(z.string()) }) },
      },
    },
    async (request) => {
      const { tenant } = request.principal
      const { roles, isActive } = await findUser(sql, tenant, request.params.id)
      return { roles, capabilities: isActive ? await capabilitiesOfRoles(sql, tenant, roles) : [] }
    },
  )

  app.patch(
    '/v1/users/:id',
    {
      config: { action: { name: 'http.users.change', capability: 'user.admin', effect: 'write' } },
      schema: {
        summary: 'Change a user’s name, address or roles, disable or enable them',
        description: 'Who is disabled is out at once, with every session, token and API key. Other roles hold from the next request on.',
        params: Id,
        body: z.strictObject({
          email: z.email().max(254).optional(),
          name: z.string().min(1).max(200).optional(),
          roles: z.array(RoleName).max(20).optional(),
          isActive: z.boolean().optional(),
        }),
        response: { 200: UserShape },
      },
    },
    async ({ principal, params: { id }, body }) => {
      const { tenant } = principal
      await userToChange(principal, id)
      if (body.roles) await assertMayGiveRoles(identity, principal, body.roles)
      const user = await changeUser(identity, tenant, id, body)
      await record(identity, tenant, 'identity.user_changed', {
        user: id,
        by: principal.id,
        change: { ...body, ...(body.email ? { email: true } : {}) },
      })
      return user
    },
  )

  app.delete(
    '/v1/users/:id',
    {
      config: { action: { name: 'http.users.delete', capability: 'user.admin', effect: 'destructive' } },
      schema: { summary: 'Delete a user', params: Id, response: { 200: UserShape } },
    },
    async ({ principal, params: { id } }) => {
      const user = await userToChange(principal, id)
      await deleteUser(identity, principal.tenant, id)
      await record(identity, principal.tenant, 'identity.user_deleted', { user: id, by: principal.id })
      return user
    },
  )

  app.delete(
    '/v1/users/:id/mfa',
    {
      config: { action: { name: 'http.users.mfa.reset', capability: 'user.admin', effect: 'write' } },
      schema: {
        summary: 'Take a second factor away from a user who lost it; every session ends',
        params: Id,
        response: { 200: UserShape },
      },
    },
    async ({ principal, params: { id } }) => {
      const { tenant } = principal
      await userToChange(principal, id)
      await removeSecondFactor(sql, tenant, id)
      await endSessions(identity, tenant, { userId: id })
      await record(identity, tenant, 'identity.factor_removed', { user: id, by: principal.id })
      return findUser(sql, tenant, id)
    },
  )

  async function userToChange(principal: Principal, id: string): Promise<User> {
    const user = await findUser(sql, principal.tenant, id)
    if (principal.id === `user:${id}`)
      throw new SomaError('conflict', 'Nobody changes the own account here, so that none is locked out. Ask another administrator.')
    assertMayChange(principal, user.email, await capabilitiesOfRoles(sql, principal.tenant, user.roles))
    return user
  }
}

/** @throws `invalid_input` for a role that there is not; `forbidden` when the roles may more than who gives them */
export async function assertMayGiveRoles({ sql }: Pick<Identity, 'sql'>, giver: Principal, roles: readonly string[]): Promise<void> {
  await assertRolesExist(sql, giver.tenant, roles)
  assertMayGive(giver, giver.tenant, await capabilitiesOfRoles(sql, giver.tenant, roles))
}
