import { appendFile, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, expect, test } from 'vitest'
import { type EmbeddedServer, startEmbeddedServer } from './embedded-server.ts'

const folders: string[] = []
const servers: EmbeddedServer[] = []

afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop().catch(() => undefined)
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true })
})

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-server-'))
  folders.push(folder)
  return folder
}

async function start(directory: string): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ directory, durable: false })
  servers.push(server)
  return server
}

async function ask(server: EmbeddedServer, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ ...server.connection, database: 'postgres' })
  await client.connect()
  const { rows } = await client.query(statement)
  await client.end()
  return rows
}

test('a server that a killed platform left running is taken over, with what it holds', async () => {
  const directory = await newFolder()
  const first = await start(directory)
  await ask(first, 'create table kept as select 42 as answer')
  const second = await start(directory)
  expect(second.adopted).toBe(true)
  expect(await ask(second, 'select answer from kept')).toEqual([{ answer: 42 }])
})

test('what was stored is there after a stop and a start', async () => {
  const directory = await newFolder()
  const first = await start(directory)
  await ask(first, 'create table kept as select 42 as answer')
  await first.stop()
  const second = await start(directory)
  expect(second.adopted).toBe(false)
  expect(await ask(second, 'select answer from kept')).toEqual([{ answer: 42 }])
})

test('a damaged database says so, also when an earlier start had another trouble', async () => {
  const directory = await newFolder()
  await (await start(directory)).stop()
  await appendFile(join(directory, 'postgres.log'), 'FATAL: could not write: No space left on device\n')
  const control = await open(join(directory, 'cluster', 'global', 'pg_control'), 'r+')
  await control.write(Buffer.alloc(512, 7), 0, 512, 0)
  await control.close()
  await expect(start(directory)).rejects.toMatchObject({
    code: 'data_directory_corrupt',
    message: expect.stringMatching(/Restore .* from a backup/),
  })
})

test('a folder that is no database is not touched', async () => {
  const directory = await newFolder()
  await (await start(directory)).stop()
  await rm(join(directory, 'cluster', 'PG_VERSION'))
  await expect(start(directory)).rejects.toMatchObject({ code: 'data_directory_corrupt', message: expect.stringMatching(/no PG_VERSION/) })
})
