import { SomaError } from '@soma/contracts/errors'
import pg from 'pg'
import type { Statements } from './port.ts'

/** What is done for one tenant runs as this role: row-level security shows it that tenant's rows. */
export const TENANT_ROLE = 'soma_tenant'
/** What serves all tenants runs as this role: it reads and writes every row, and changes no table. */
export const PLATFORM_ROLE = 'soma_platform'

/**
 * Sees to it that the two roles are there, that the login may take them, and that row-level security binds both.
 * @param login who will take them; left out: whoever asks
 * @throws `dependency_unavailable` with what an administrator of the database has to do
 */
export async function ensureRoles(client: Statements, login?: string): Promise<void> {
  try {
    for (const role of [TENANT_ROLE, PLATFORM_ROLE]) await client.query(ensureRole(role, login))
  } catch (cause) {
    throw new SomaError(
      'dependency_unavailable',
      `PostgreSQL does not let the platform have its roles: ${(cause as Error).message}. Have an administrator of the database run: create role ${TENANT_ROLE} nologin; create role ${PLATFORM_ROLE} nologin; grant ${TENANT_ROLE}, ${PLATFORM_ROLE} to the user of SOMA_SQL_URL;`,
      {},
      { cause },
    )
  }
  const { rows } = await client.query('select rolname from pg_roles where rolname = any($1) and (rolsuper or rolbypassrls)', [
    [TENANT_ROLE, PLATFORM_ROLE],
  ])
  if (rows.length === 0) return
  const unbound = rows.map((row) => row.rolname).join(', ')
  throw new SomaError(
    'dependency_unavailable',
    `Row-level security does not bind ${unbound}, so tenants would not be kept apart. Have an administrator of the database run: alter role ${rows[0]?.rolname} nosuperuser nobypassrls;`,
    { roles: unbound },
  )
}

/** Other processes may do the same at the same moment. */
function ensureRole(role: string, login: string | undefined): string {
  const taker = login === undefined ? 'current_user::text' : pg.escapeLiteral(login)
  return `do $$
declare
  taker text := ${taker};
  -- From 16 on whoever makes a role is a member that may not take it.
  membership text := case when current_setting('server_version_num')::int >= 160000 then 'set' else 'member' end;
begin
  begin
    if not exists (select from pg_roles where rolname = '${role}') then create role ${role} nologin; end if;
  exception when duplicate_object or unique_violation then null;
  end;
  if not pg_has_role(taker, '${role}', membership) then execute format('grant ${role} to %I', taker); end if;
exception when internal_error or unique_violation then null;
end $$`
}
