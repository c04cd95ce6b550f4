import { existsSync } from 'node:fs'
import { appendFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { Cache } from '../cache.ts'
import { debianEnvironment, installDebian } from '../install/debian.ts'
import { runUnprivileged } from '../run-process.ts'
import { defineServer, type Place } from '../server.ts'

const MAJOR = '15'
const binary = (cache: Cache, name: string) => cache.path(`debian/postgresql-${MAJOR}`, 'usr/lib/postgresql', MAJOR, 'bin', name)
const environment = (cache: Cache) => debianEnvironment(cache.path(`debian/postgresql-${MAJOR}`))

const SETTINGS = `
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 128MB
max_wal_size = 2GB
`

/** PostgreSQL as Debian ships it: three major versions older than the embedded one, so that both ends of what is supported are tried. */
export const postgres = defineServer({
  name: 'postgres',
  summary: 'Database and journal',
  version: MAJOR,
  ports: ['server'],
  async install(cache) {
    await installDebian(cache, `postgresql-${MAJOR}`)
  },
  async start(place, cache) {
    const cluster = join(place.folder, 'cluster')
    if (!existsSync(join(cluster, 'PG_VERSION'))) await makeCluster(place, cache, cluster)
    const args = ['-D', cluster, '-p', String(place.port('server'))]
    await place.run({ name: 'postgres', command: binary(cache, 'postgres'), args, env: environment(cache), unprivileged: true })
  },
  async checkReady(place) {
    await query(place, 'postgres', 'select 1')
    const isThere = await query(place, 'postgres', "select 1 from pg_database where datname = 'soma'")
    if (!isThere) await query(place, 'postgres', 'create database soma')
  },
  env: (place) => ({ SOMA_SQL_URL: urlOf(place, 'soma') }),
  readVersion: (place) => query(place, 'soma', 'show server_version').then((version) => version.split(' ')[0] as string),
})

async function makeCluster(place: Place, cache: Cache, cluster: string): Promise<void> {
  const passwordFile = join(place.folder, 'password')
  // Readable for the user that initdb runs as; the folder around it is closed to others.
  await writeFile(passwordFile, place.secret('password'), { mode: 0o644 })
  const options = ['-U', 'soma', '--auth=scram-sha-256', `--pwfile=${passwordFile}`, '--encoding=UTF8', '--no-locale']
  await runUnprivileged(place.folder, binary(cache, 'initdb'), ['-D', cluster, ...options], environment(cache))
  await rm(passwordFile)
  await appendFile(join(cluster, 'postgresql.conf'), SETTINGS)
}

function urlOf(place: Place, database: string): string {
  return `postgres://soma:${place.secret('password')}@127.0.0.1:${place.port('server')}/${database}`
}

async function query(place: Place, database: string, statement: string): Promise<string> {
  const client = new pg.Client({ connectionString: urlOf(place, database), connectionTimeoutMillis: 2000 })
  await client.connect()
  try {
    const { rows } = await client.query({ text: statement, rowMode: 'array' })
    return String(rows[0]?.[0] ?? '')
  } finally {
    await client.end()
  }
}
