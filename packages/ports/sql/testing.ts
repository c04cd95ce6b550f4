import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'
import type { Sql } from './port.ts'
import { openPostgres } from './postgres.ts'

/** A fresh database on the test run's PostgreSQL, dropped at `close`. */
export async function openTestSql(): Promise<Sql & { connection: pg.PoolConfig }> {
  const server = inject('postgres')
  const database = `test_${randomBytes(6).toString('hex')}`
  await asAdmin(server, `create database ${database}`)
  const connection = { ...server, database }
  const sql = await openPostgres({ connection, poolSize: 10 })
  return {
    ...sql,
    connection,
    close: async () => {
      await sql.close()
      await asAdmin(server, `drop database if exists ${database} with (force)`)
    },
  }
}

async function asAdmin(server: pg.PoolConfig, statement: string): Promise<void> {
  const client = new pg.Client({ ...server, database: 'postgres' })
  await client.connect()
  await client.query(statement)
  await client.end()
}
