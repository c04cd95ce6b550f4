import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { defineServer, type Place } from '../server.ts'

const USER = 'soma'
const TYPESCRIPT = createRequire(import.meta.url).resolve('tsx/esm')
const HTTP_DOOR = fileURLToPath(new URL('clickhouse/http-door.ts', import.meta.url))

/** ClickHouse's engine behind a door of ours: see `clickhouse/http-door.ts` for what is the vendor's and what is not. */
export const clickhouse = defineServer({
  name: 'clickhouse',
  summary: 'Figures, by SQL over HTTP',
  // Of the npm package that carries the engine.
  version: 'chdb 3.4.0',
  ports: ['http'],
  // Comes with npm install.
  install: async () => undefined,
  async start(place) {
    await place.run({
      name: 'clickhouse',
      command: process.execPath,
      args: ['--import', TYPESCRIPT, HTTP_DOOR, join(place.folder, 'data'), String(place.port('http')), USER],
      env: { CLICKHOUSE_PASSWORD: place.secret('password') },
    })
  },
  async checkReady(place) {
    await query(place, 'SELECT 1')
  },
  env: (place) => ({
    SOMA_CLICKHOUSE_URL: urlOf(place),
    SOMA_CLICKHOUSE_USERNAME: USER,
    SOMA_CLICKHOUSE_PASSWORD: place.secret('password'),
    SOMA_CLICKHOUSE_DATABASE: 'soma',
  }),
  readVersion: (place) => query(place, 'SELECT version()'),
})

async function query(place: Place, statement: string): Promise<string> {
  const authorization = `Basic ${Buffer.from(`${USER}:${place.secret('password')}`).toString('base64')}`
  const answer = await fetch(urlOf(place), {
    method: 'POST',
    body: statement,
    headers: { authorization },
    signal: AbortSignal.timeout(5000),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text.trim()
}

function urlOf(place: Place): string {
  return `http://127.0.0.1:${place.port('http')}`
}
