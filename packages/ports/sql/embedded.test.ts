import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { openEmbeddedPostgres } from './embedded.ts'
import { type EmbeddedServer, startEmbeddedServer } from './embedded-server.ts'
import { openPostgres } from './postgres.ts'

const NOTES = {
  name: '001-notes',
  up: 'create table notes (tenant text not null, id int generated always as identity, text text not null)',
}
const FUNCTION = { name: '002-count', up: "create function count_notes() returns bigint language sql as 'select count(*) from old.notes'" }

async function startServer(): Promise<{ directory: string; server: EmbeddedServer }> {
  const directory = await mkdtemp(join(tmpdir(), 'soma-embedded-'))
  const server = await startEmbeddedServer({ directory, durable: false })
  onTestFinished(async () => {
    await server.stop()
    await rm(directory, { recursive: true, force: true })
  })
  return { directory, server }
}

async function asSuperuser(server: EmbeddedServer, database: string, statement: string): Promise<pg.QueryResult['rows']> {
  const client = new pg.Client({ ...server.connection, database })
  await client.connect()
  return (await client.query(statement).finally(() => client.end())).rows
}

test('nobody works as superuser, and a folder of an earlier version, where all was the superuser’s, goes on', async () => {
  const { directory, server } = await startServer()
  await asSuperuser(server, 'postgres', 'create database soma')
  await asSuperuser(
    server,
    'soma',
    `create role soma_tenant nologin;
     create schema old; create table old.migrations (name text primary key, at timestamptz not null default now());
     create sequence old.numbers; ${NOTES.up.replace('notes', 'old.notes')}; insert into old.migrations values ('${NOTES.name}');
     alter table old.notes enable row level security;
     create policy own_tenant on old.notes to soma_tenant using (tenant = current_setting('soma.tenant', true));
     insert into old.notes (tenant, text) values ('acme', 'kept'), ('globex', 'theirs');
     set search_path to old; ${FUNCTION.up}; insert into old.migrations values ('${FUNCTION.name}')`,
  )
  const sql = await openEmbeddedPostgres({ directory, durable: false })
  await sql.migrate('old', [NOTES, FUNCTION, { name: '003-more', up: 'alter table notes add column more text; drop function count_notes' }])
  expect((await sql.tenant('acme').query('select text, more from old.notes')).rows).toEqual([{ text: 'kept', more: null }])
  expect((await sql.platform.query('select * from old.notes')).rows).toHaveLength(2)
  await sql.platform.query("select nextval('old.numbers')")
  expect(await asSuperuser(server, 'soma', 'select distinct usename from pg_stat_activity where usename is not null')).toEqual(
    expect.arrayContaining([{ usename: 'soma_server' }]),
  )
  const [login] = await asSuperuser(
    server,
    'soma',
    "select rolsuper, rolbypassrls, rolcreaterole from pg_roles where rolname = 'soma_server'",
  )
  expect(login).toEqual({ rolsuper: false, rolbypassrls: false, rolcreaterole: false })
  await sql.close()
})

test('a role that row-level security does not bind is refused, with what to do', async () => {
  const { server } = await startServer()
  const connection = { ...server.connection, database: 'postgres' }
  await (await openPostgres({ connection })).close()
  for (const [role, right] of [
    ['soma_tenant', 'bypassrls'],
    ['soma_platform', 'superuser'],
  ]) {
    await asSuperuser(server, 'postgres', `alter role ${role} ${right}`)
    await expect(openPostgres({ connection })).rejects.toMatchObject({
      code: 'dependency_unavailable',
      message: expect.stringMatching(new RegExp(`does not bind ${role}.*alter role ${role} nosuperuser nobypassrls`)),
    })
    await asSuperuser(server, 'postgres', `alter role ${role} nosuperuser nobypassrls`)
  }
})

test('who may make no roles is told which are missing, and works once they are given', async () => {
  const { server } = await startServer()
  await asSuperuser(server, 'postgres', "create role plain login password 'x'")
  await asSuperuser(server, 'postgres', 'create database own owner plain')
  const connection = { ...server.connection, user: 'plain', password: 'x', database: 'own' }
  await expect(openPostgres({ connection })).rejects.toThrow(/create role soma_tenant nologin.*grant soma_tenant, soma_platform to/s)
  await asSuperuser(
    server,
    'postgres',
    'create role soma_tenant nologin; create role soma_platform nologin; grant soma_tenant, soma_platform to plain',
  )
  const sql = await openPostgres({ connection })
  await sql.migrate('promised', [NOTES])
  await sql.tenant('acme').query("insert into promised.notes (tenant, text) values ('acme', 'ours')")
  expect((await sql.tenant('globex').query('select * from promised.notes')).rows).toEqual([])
  await sql.close()
})
