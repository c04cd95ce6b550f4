import pg from 'pg'
import { withoutHurry } from './patience.ts'
import type { Migration, Statements } from './port.ts'
import { PLATFORM_ROLE, TENANT_ROLE } from './roles.ts'

const MIGRATION_LOCK = 7_301_001

/** Applies what is missing of a schema's migrations, within the transaction given. */
export async function migrate(hurried: Statements, schema: string, migrations: readonly Migration[]): Promise<void> {
  const transaction = withoutHurry(hurried)
  const name = pg.escapeIdentifier(schema)
  await transaction.query('set local statement_timeout to 0')
  // As whoever logged in, to whom the tables belong: the roles that statements run as change no table.
  await transaction.query('set local role none')
  await transaction.query('select pg_advisory_xact_lock($1)', [MIGRATION_LOCK])
  await transaction.query(`create schema if not exists ${name}`)
  await transaction.query(`create table if not exists ${name}.migrations (name text primary key, at timestamptz not null default now())`)
  const done = new Set((await transaction.query(`select name from ${name}.migrations`)).rows.map((row) => row.name as string))
  const missing = migrations.filter((each) => !done.has(each.name))
  for (const migration of missing) {
    await transaction.query(`set local search_path to ${name}, public`)
    await transaction.query(migration.up)
    await transaction.query(`insert into ${name}.migrations (name) values ($1)`, [migration.name])
  }
  if (missing.length > 0 || !(await isGiven(transaction, schema))) await confineTables(transaction, schema)
}

/** False for a schema of before there were roles. */
async function isGiven(transaction: Statements, schema: string): Promise<boolean> {
  const { rows } = await transaction.query("select has_schema_privilege($1, $2, 'usage') as given", [PLATFORM_ROLE, schema])
  return rows[0].given
}

/**
 * Gives the new tables of a schema to the roles: all of them to the platform's, and those with a `tenant` column to the tenants', under
 * row-level security. A table that its migration gave to the platform's role already is left as the migration has it.
 */
async function confineTables(transaction: Statements, schema: string): Promise<void> {
  const { rows } = await transaction.query<{ name: string; isTenants: boolean }>(
    `select c.relname as name, exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant' and not a.attisdropped) as "isTenants"
     from pg_class c where c.relnamespace = $1::regnamespace and c.relkind in ('r', 'p') and not has_table_privilege('${PLATFORM_ROLE}', c.oid, 'select')`,
    [pg.escapeIdentifier(schema)],
  )
  const name = pg.escapeIdentifier(schema)
  await transaction.query(`grant usage on schema ${name} to ${PLATFORM_ROLE}, ${TENANT_ROLE}`)
  await transaction.query(`grant all on all sequences in schema ${name} to ${PLATFORM_ROLE}`)
  await transaction.query(`grant usage on all sequences in schema ${name} to ${TENANT_ROLE}`)
  for (const table of rows) {
    const path = `${name}.${pg.escapeIdentifier(table.name)}`
    await transaction.query(`grant select, insert, update, delete on ${path} to ${PLATFORM_ROLE}`)
    if (table.isTenants) await transaction.query(confineTable(path))
  }
}

/** Where no tenant was set the setting is empty, and no row is anybody's. */
function confineTable(path: string): string {
  const isOwn = `tenant = nullif(current_setting('soma.tenant', true), '')`
  return `alter table ${path} enable row level security;
    drop policy if exists own_tenant on ${path};
    create policy own_tenant on ${path} to ${TENANT_ROLE} using (${isOwn}) with check (${isOwn});
    create policy every_tenant on ${path} to ${PLATFORM_ROLE} using (true) with check (true);
    grant select, insert, update, delete on ${path} to ${TENANT_ROLE}`
}
