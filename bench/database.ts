import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedServer } from '@soma/ports/sql/embedded-server'
import pg from 'pg'
import type { Connection } from './child.ts'

export interface Postgres {
  version: string
  /** A new database for one system. */
  database(name: string): Promise<Connection>
  stop(): Promise<void>
}

/** The one PostgreSQL of a run: the platform's embedded one, as durable as in production, in a folder that is removed at the end. */
export async function startPostgres(): Promise<Postgres> {
  const directory = await mkdtemp(join(tmpdir(), 'soma-bench-'))
  const server = await startEmbeddedServer({ directory, durable: true })
  const admin = new pg.Client({ ...server.connection, database: 'postgres' })
  await admin.connect()
  const { rows } = await admin.query("select current_setting('server_version') as version, current_setting('fsync') as fsync")
  if (rows[0].fsync !== 'on') throw new Error('The benchmarks measure durable commits, but fsync is off.')
  return {
    version: rows[0].version,
    async database(name) {
      await admin.query(`create database ${pg.escapeIdentifier(name)}`)
      return { ...server.connection, database: name }
    },
    async stop() {
      await admin.end()
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
