import { Role, RoleName } from '@soma/contracts/roles'
import { assertMayGive } from '@soma/kernel/auth/held-capabilities'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { type Identity, record } from '../identity.ts'
import { capabilitiesOfRoles, deleteRole, rolesOf, setRole, usersWithRole } from '../people/roles.ts'
import { refuseEarlierTokens } from '../people/users.ts'

const ListedRole = Role.extend({ isOwn: z.boolean().describe('Made or changed by the tenant') })
const Name = z.object({ name: RoleName })

export function roleRoutes(app: ServiceApp, identity: Identity): void {
  const { sql } = identity

  app.get(
    '/v1/roles',
    {
      config: { action: { name: 'http.roles.list', capability: 'role.read', effect: 'read' } },
      schema: {
        summary: 'Roles, and what each may',
        response: { 200: z.object({ items: z.array(ListedRole), nextCursor: z.null() }) },
      },
    },
    async (request) => ({ items: await rolesOf(sql, request.principal.tenant), nextCursor: null }),
  )

  app.put(
    '/v1/roles/:name',
    {
      config: { action: { name: 'http.roles.set', capability: 'role.admin', effect: 'write' } },
      schema: {
        summary: 'Make a role, or set what one may in this tenant',
        params: Name,
        body: z.strictObject({ summary: z.string().min(1).max(200), capabilities: z.array(z.string().min(1).max(100)).max(200) }),
        response: { 200: Role },
      },
    },
    async ({ principal, params: { name }, body }) => {
      const { tenant } = principal
      // Neither give by it what one does not hold, nor take it from those who hold more.
      assertMayGive(principal, tenant, [...body.capabilities, ...(await capabilitiesOfRoles(sql, tenant, [name]))])
      await setRole(sql, tenant, { name, ...body })
      await changed(tenant, name, principal.id, body.capabilities)
      return { name, ...body }
    },
  )

  app.delete(
    '/v1/roles/:name',
    {
      config: { action: { name: 'http.roles.delete', capability: 'role.admin', effect: 'write' } },
      schema: {
        summary: 'Delete a role of the tenant’s own; one that comes with the platform is again as it came',
        params: Name,
        response: { 200: z.object({ deleted: z.literal(true) }) },
      },
    },
    async ({ principal, params: { name } }) => {
      const { tenant } = principal
      assertMayGive(principal, tenant, await capabilitiesOfRoles(sql, tenant, [name]))
      await deleteRole(sql, tenant, name)
      await changed(tenant, name, principal.id, null)
      return { deleted: true as const }
    },
  )

  async function changed(tenant: string, role: string, by: string, capabilities: readonly string[] | null): Promise<void> {
    await Promise.all((await usersWithRole(sql, tenant, role)).map((id) => refuseEarlierTokens(identity, tenant, id)))
    await record(identity, tenant, 'identity.role_changed', { role, by, capabilities })
  }
}
