import pg from 'pg'
import { startEmbeddedServer } from './embedded-server.ts'
import { makeDatabase } from './make-database.ts'
import type { Sql } from './port.ts'
import { openPostgres, type PostgresOptions } from './postgres.ts'

const DATABASE = 'soma'
/** The server's superuser makes this login and the database; from then on nobody works as superuser. */
const LOGIN = 'soma_server'

type EmbeddedOptions = Omit<PostgresOptions, 'connection'> & { directory: string; durable?: boolean }

/** The sql port on PostgreSQL from npm, in a folder of the platform's own. */
export async function openEmbeddedPostgres({ poolSize, patience, ...options }: EmbeddedOptions): Promise<Sql> {
  const server = await startEmbeddedServer(options)
  const owner = { user: LOGIN, password: server.connection.password }
  await makeDatabase(server.connection, { database: DATABASE, owner })
  await handOver({ ...server.connection, database: DATABASE })
  const sql = await openPostgres({ connection: { ...server.connection, ...owner, database: DATABASE }, poolSize, patience })
  return {
    ...sql,
    close: async () => {
      await sql.close()
      await server.stop()
    },
  }
}

/** In the folder of an earlier version everything belongs to the superuser. */
async function handOver(administrator: pg.ClientConfig): Promise<void> {
  const client = new pg.Client(administrator)
  await client.connect()
  try {
    await client.query(HAND_OVER)
  } finally {
    await client.end()
  }
}

const HAND_OVER = `do $$
declare
  statement text;
begin
  if (select datdba::regrole::text from pg_database where datname = current_database()) = '${LOGIN}' then return; end if;
  for statement in
    with ours as (select oid, nspname from pg_namespace where nspname !~ '^(pg_|information_schema$)')
    select format('alter schema %I owner to ${LOGIN}', nspname) from ours where nspname <> 'public'
    union all
    select format('alter table %s owner to ${LOGIN}', c.oid::regclass) from pg_class c join ours on c.relnamespace = ours.oid where c.relkind = 'r'
    union all
    select format('alter sequence %s owner to ${LOGIN}', c.oid::regclass) from pg_class c join ours on c.relnamespace = ours.oid
      where c.relkind = 'S' and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i'))
    union all
    select format('alter routine %s owner to ${LOGIN}', p.oid::regprocedure) from pg_proc p join ours on p.pronamespace = ours.oid
  loop
    execute statement;
  end loop;
  execute format('alter database %I owner to ${LOGIN}', current_database());
end $$`
