import pg from 'pg'
import { startEmbeddedServer } from './embedded-server.ts'
import type { Sql } from './port.ts'
import { openPostgres } from './postgres.ts'

/** The sql port on PostgreSQL from npm, in a folder of the platform's own. */
export async function openEmbeddedPostgres(options: { directory: string; durable?: boolean; poolSize?: number }): Promise<Sql> {
  const server = await startEmbeddedServer(options)
  const admin = new pg.Client({ ...server.connection, database: 'postgres' })
  await admin.connect()
  const exists = await admin.query("select from pg_database where datname = 'soma'")
  if (exists.rowCount === 0) await admin.query('create database soma')
  await admin.end()
  const sql = await openPostgres({ connection: { ...server.connection, database: 'soma' }, poolSize: options.poolSize })
  return {
    ...sql,
    close: async () => {
      await sql.close()
      await server.stop()
    },
  }
}
