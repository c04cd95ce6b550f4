import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import { makeDatabase } from './make-database.ts'
import type { Sql, Statements } from './port.ts'
import { openPostgres } from './postgres.ts'

export interface TestSql extends Sql {
  connection: pg.PoolConfig
  /** The server's superuser, for what nobody of the platform may do: look behind the scenes, cut connections, damage rows. */
  superuser: Statements
}

/** A fresh database on the test run's PostgreSQL, or on the one given, dropped at `close`. */
export async function openTestSql(server: pg.PoolConfig & { password: string } = inject('postgres')): Promise<TestSql> {
  const database = `test_${randomBytes(6).toString('hex')}`
  const owner = { user: 'soma_test', password: server.password }
  await makeDatabase(server, { database, owner })
  const connection = { ...server, ...owner, database }
  const superuser = new pg.Pool({ ...server, database, max: 1 })
  superuser.on('error', () => undefined)
  const sql = await openPostgres({ connection, poolSize: 10 })
  return {
    ...sql,
    connection,
    superuser,
    close: async () => {
      await Promise.all([sql.close(), superuser.end()])
      await dropDatabase(server, database)
    },
  }
}

async function dropDatabase(server: pg.PoolConfig, database: string): Promise<void> {
  const client = new pg.Client({ ...server, database: 'postgres' })
  await client.connect()
  await client.query(`drop database if exists ${database} with (force)`)
  await client.end()
}
