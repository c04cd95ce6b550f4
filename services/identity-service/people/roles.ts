import { SomaError } from '@soma/contracts/errors'
import { DEFAULT_ROLES, type Role } from '@soma/contracts/roles'
import { capabilitiesOf } from '@soma/kernel/auth/held-capabilities'
import type { Sql } from '@soma/ports/sql/port'

/** The roles of a tenant: those that come with the platform, as the tenant has changed them, and its own. */
export async function rolesOf(sql: Sql, tenant: string): Promise<(Role & { isOwn: boolean })[]> {
  const own = await ownRoles(sql, tenant)
  const isOwn = ({ name }: Role) => own.some((role) => role.name === name)
  const standard = DEFAULT_ROLES.filter((role) => !isOwn(role)).map((role) => ({ ...role, isOwn: false }))
  return [...standard, ...own.map((role) => ({ ...role, isOwn: true }))]
}

export async function capabilitiesOfRoles(sql: Sql, tenant: string, roles: readonly string[]): Promise<string[]> {
  return capabilitiesOf(roles, await ownRoles(sql, tenant))
}

/** @throws `invalid_input` that names the roles there are */
export async function assertRolesExist(sql: Sql, tenant: string, names: readonly string[]): Promise<void> {
  const known = (await rolesOf(sql, tenant)).map(({ name }) => name)
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new SomaError('invalid_input', `There is no role "${unknown}". Roles: ${known.join(', ')}.`, { role: unknown, roles: known })
}

/** Sets what a role may, or makes it. */
export async function setRole(sql: Sql, tenant: string, { name, summary, capabilities }: Role): Promise<void> {
  await sql.tenant(tenant).query(
    `insert into identity.roles (tenant, name, summary, capabilities) values ($1, $2, $3, $4)
       on conflict (tenant, name) do update set summary = excluded.summary, capabilities = excluded.capabilities`,
    [tenant, name, summary, capabilities],
  )
}

/** Deletes a role of the tenant's own; one that comes with the platform is then again as it came. @throws `not_found` */
export async function deleteRole(sql: Sql, tenant: string, name: string): Promise<void> {
  const { rowCount } = await sql.tenant(tenant).query('delete from identity.roles where name = $1', [name])
  if (rowCount === 0) throw new SomaError('not_found', `The tenant has no role "${name}" of its own.`, { role: name })
}

/** Ids of the users who have a role. */
export async function usersWithRole(sql: Sql, tenant: string, name: string): Promise<string[]> {
  const { rows } = await sql.tenant(tenant).query('select id from identity.users where $1 = any(roles)', [name])
  return rows.map(({ id }) => id as string)
}

async function ownRoles(sql: Sql, tenant: string): Promise<Role[]> {
  const { rows } = await sql.tenant(tenant).query('select name, summary, capabilities from identity.roles order by name')
  return rows
}
