import { SomaError } from '@soma/contracts/errors'
import type { Revocations } from '@soma/kernel/auth/revocations'
import type { Sql } from '@soma/ports/sql/port'

/** A program with roles of its own. It comes in by API keys that are made for it. */
export interface ServiceAccount {
  id: string
  summary: string
  roles: string[]
  isActive: boolean
  createdBy: string
  createdAt: string
}

const COLUMNS = 'id, summary, roles, is_active as "isActive", created_by as "createdBy", created_at as "createdAt"'

interface Parts {
  sql: Sql
  revocations: Revocations
}

/** @throws `conflict` when there is one of that name */
export async function addServiceAccount(
  { sql }: Pick<Parts, 'sql'>,
  tenant: string,
  account: Pick<ServiceAccount, 'id' | 'summary' | 'roles' | 'createdBy'>,
): Promise<ServiceAccount> {
  const { id, summary, roles, createdBy } = account
  const { rows } = await sql.tenant(tenant).query(
    `insert into identity.service_accounts (tenant, id, summary, roles, created_by) values ($1, $2, $3, $4, $5)
       on conflict do nothing returning ${COLUMNS}`,
    [tenant, id, summary, roles, createdBy],
  )
  if (rows[0]) return asAccount(rows[0])
  throw new SomaError('conflict', `There is a service account "${id}" already.`, { id })
}

/** @throws `not_found` */
export async function findServiceAccount(sql: Sql, tenant: string, id: string): Promise<ServiceAccount> {
  const { rows } = await sql.tenant(tenant).query(`select ${COLUMNS} from identity.service_accounts where id = $1`, [id])
  if (rows[0]) return asAccount(rows[0])
  throw notFound(id)
}

/** Accounts by id, after the one given. */
export async function listServiceAccounts(
  sql: Sql,
  tenant: string,
  { afterId, limit }: { afterId?: string; limit: number },
): Promise<ServiceAccount[]> {
  const { rows } = await sql
    .tenant(tenant)
    .query(`select ${COLUMNS} from identity.service_accounts where id > $1 order by id limit $2`, [afterId ?? '', limit])
  return rows.map(asAccount)
}

/** Changes an account. One that is not active is out at once, with all its keys; roles hold from the next request on. @throws `not_found` */
export async function changeServiceAccount(
  { sql, revocations }: Parts,
  tenant: string,
  id: string,
  { summary, roles, isActive }: Partial<Pick<ServiceAccount, 'summary' | 'roles' | 'isActive'>>,
): Promise<ServiceAccount> {
  if (isActive === false) await revocations.revoke({ tenant, kind: 'principal', value: `account:${id}` })
  const { rows } = await sql.tenant(tenant).query(
    `update identity.service_accounts set summary = coalesce($2, summary), roles = coalesce($3, roles), is_active = coalesce($4, is_active)
       where id = $1 returning ${COLUMNS}`,
    [id, summary ?? null, roles ?? null, isActive ?? null],
  )
  if (!rows[0]) throw notFound(id)
  if (isActive === true) await revocations.letIn(tenant, `account:${id}`)
  return asAccount(rows[0])
}

/** Deletes an account, and ends its keys. @throws `not_found` */
export async function deleteServiceAccount({ sql, revocations }: Parts, tenant: string, id: string): Promise<ServiceAccount> {
  const account = await findServiceAccount(sql, tenant, id)
  await sql.tenant(tenant).transaction(async (transaction) => {
    await transaction.query('update identity.api_keys set revoked_at = coalesce(revoked_at, now()) where holder = $1', [`account:${id}`])
    await transaction.query('delete from identity.service_accounts where id = $1', [id])
  })
  // Tokens that were got with its keys; the name may be given to another account later.
  await revocations.revoke({ tenant, kind: 'principal', value: `account:${id}` })
  await revocations.letIn(tenant, `account:${id}`)
  return account
}

function notFound(id: string): SomaError {
  return new SomaError('not_found', `There is no service account "${id}".`, { id })
}

function asAccount(row: Record<string, unknown>): ServiceAccount {
  return { ...(row as unknown as ServiceAccount), createdAt: (row.createdAt as Date).toISOString() }
}
