import type { Sql } from '@soma/ports/sql/port'

export interface Table {
  /** `journal.entries`, quoted as SQL needs it. */
  name: string
  hasTenant: boolean
  isConfined: boolean
}

/** Every table of every schema that is not PostgreSQL's own. */
export async function tablesOf(sql: Sql): Promise<Table[]> {
  const { rows } = await sql.platform.query<Table>(
    `select format('%I.%I', n.nspname, c.relname) as name,
       exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant' and not a.attisdropped) as "hasTenant",
       c.relrowsecurity and exists (select from pg_policies p where p.schemaname = n.nspname and p.tablename = c.relname and 'soma_tenant' = any (p.roles))
         as "isConfined"
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm', 'v', 'f') and n.nspname !~ '^(pg_|information_schema$)' order by 1`,
  )
  return rows
}

/** Kinds of entries that the platform itself writes for a tenant now and then. */
const BY_ITSELF = ['gate.decided', 'gate.grants', 'ledger.checkpoint']

/** A digest of each table's rows of a tenant, without what changes by being looked at. */
export async function rowsOf(sql: Sql, tenant: string): Promise<Record<string, string>> {
  const digests: Record<string, string> = {}
  for (const { name } of (await tablesOf(sql)).filter(({ hasTenant }) => hasTenant)) {
    const { rows } = await sql.platform.query(
      `select md5(coalesce(string_agg(line, ' ' order by line), '')) as digest from (
         select (to_jsonb(t) - 'last_used_at' - 'last_seen_at')::text as line from ${name} t
         where tenant = $1 and coalesce(to_jsonb(t)->>'kind' <> all ($2), true)) lines`,
      [tenant, BY_ITSELF],
    )
    digests[name] = rows[0].digest
  }
  return digests
}
