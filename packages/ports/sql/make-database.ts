import pg from 'pg'
import { ensureRoles } from './roles.ts'

export interface DatabaseToMake {
  database: string
  /** Who owns the database and logs in. No superuser. */
  owner: { user: string; password: string }
}

/**
 * Makes a database for the platform and all that it needs on its server, unless it is there.
 * @param administrator how a superuser of the server connects
 */
export async function makeDatabase(administrator: pg.ClientConfig, { database, owner }: DatabaseToMake): Promise<void> {
  const client = new pg.Client({ ...administrator, database: 'postgres' })
  await client.connect()
  try {
    await client.query(ensureLogin(owner))
    await ensureRoles(client, owner.user)
    const { rowCount } = await client.query('select from pg_database where datname = $1', [database])
    if (rowCount === 0) {
      await client.query(`create database ${pg.escapeIdentifier(database)} owner ${pg.escapeIdentifier(owner.user)}`)
    }
  } finally {
    await client.end()
  }
}

function ensureLogin({ user, password }: DatabaseToMake['owner']): string {
  const name = pg.escapeIdentifier(user)
  return `do $$ begin
    if not exists (select from pg_roles where rolname = ${pg.escapeLiteral(user)}) then create role ${name}; end if;
    alter role ${name} login nosuperuser nobypassrls password ${pg.escapeLiteral(password)};
  exception when duplicate_object or unique_violation or internal_error then null;
  end $$`
}
