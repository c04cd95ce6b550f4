import { SomaError } from '@soma/contracts/errors'
import type { Sql } from '@soma/ports/sql/port'

export interface Tenant {
  id: string
  name: string
  createdAt: string
}

const COLUMNS = 'tenant as id, name, created_at as "createdAt"'
/** Names that stand for something else: the platform keeps its own rules and keys under this one. */
const RESERVED = ['platform']

/** @throws `conflict` when there is one of that name */
export async function addTenant(sql: Sql, { id, name }: Pick<Tenant, 'id' | 'name'>): Promise<Tenant> {
  const { rows } = RESERVED.includes(id)
    ? { rows: [] }
    : await sql
        .tenant(id)
        .query(`insert into identity.tenants (tenant, name) values ($1, $2) on conflict do nothing returning ${COLUMNS}`, [id, name])
  if (rows[0]) return asTenant(rows[0])
  throw new SomaError('conflict', `There is a tenant "${id}" already.`, { tenant: id })
}

export async function findTenant(sql: Sql, id: string): Promise<Tenant | undefined> {
  const { rows } = await sql.tenant(id).query(`select ${COLUMNS} from identity.tenants`)
  return rows[0] && asTenant(rows[0])
}

/** Gives a tenant its name, also one that so far was only named by keys or by the issuer of its people. */
export async function renameTenant(sql: Sql, id: string, name: string): Promise<Tenant> {
  const { rows } = await sql
    .tenant(id)
    .query(
      `insert into identity.tenants (tenant, name) values ($1, $2) on conflict (tenant) do update set name = excluded.name returning ${COLUMNS}`,
      [id, name],
    )
  return asTenant(rows[0])
}

/** All of them, by id, after the one given: for whoever runs the platform. */
export async function listTenants(sql: Sql, { afterId, limit }: { afterId?: string; limit: number }): Promise<Tenant[]> {
  const { rows } = await sql.platform.query(`select ${COLUMNS} from identity.tenants where tenant > $1 order by tenant limit $2`, [
    afterId ?? '',
    limit,
  ])
  return rows.map(asTenant)
}

function asTenant(row: { id: string; name: string; createdAt: Date }): Tenant {
  return { ...row, createdAt: row.createdAt.toISOString() }
}
