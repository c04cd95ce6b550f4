import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { SERVERS } from '@soma/stack/servers'
import { openStack, type Stack } from '@soma/stack/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'

const STEPS = 12
const WORKER = fileURLToPath(new URL('./temporal-worker.ts', import.meta.url))

let stack: Stack
let sql: Awaited<ReturnType<typeof openTestSql>>
const workers: ChildProcess[] = []

beforeAll(async () => {
  // A Temporal that nobody else uses: it gets killed.
  stack = openStack(SERVERS, await mkdtemp(join(tmpdir(), 'soma-stack-')))
  await stack.up(['temporal'])
  sql = await openTestSql()
  await sql.migrate('effects', [{ name: '001-effects', up: 'create table effects (key text not null)' }])
})
afterAll(async () => {
  for (const worker of workers) worker.kill('SIGKILL')
  await sql.close()
  await stack.remove()
})

async function startWorker(runId: string): Promise<ChildProcess & { output: Promise<string> }> {
  const { SOMA_TEMPORAL_ADDRESS: address } = await stack.env()
  const { user, password, host, port, database } = sql.connection
  const url = `postgres://${user}:${encodeURIComponent(String(password))}@${host}:${port}/${database}`
  const options = JSON.stringify({ url, address, taskQueue: 'crash', runId, steps: STEPS })
  const worker = spawn(process.execPath, ['--import', 'tsx', WORKER, options], { stdio: ['ignore', 'pipe', 'inherit'] })
  workers.push(worker)
  return Object.assign(worker, { output: text(worker.stdout) })
}

async function effectsOf(runId: string): Promise<string[]> {
  const { rows } = await sql.platform.query<{ key: string }>('select key from effects.effects where key like $1', [`run/${runId}#%`])
  return rows.map(({ key }) => key)
}

const reach = (runId: string, effects: number) =>
  expect.poll(async () => (await effectsOf(runId)).length, { timeout: 60_000, interval: 5 }).toBeGreaterThanOrEqual(effects)

/** @param kills how often something was killed: each may repeat the one activity that was under way, and no other */
async function expectNothingLost(runId: string, kills: number): Promise<void> {
  const effects = await effectsOf(runId)
  const keys = Array.from({ length: STEPS }, (_, index) => `run/${runId}#${index + 1}`)
  expect(new Set(effects)).toEqual(new Set(keys))
  expect(effects.length).toBeLessThanOrEqual(STEPS + kills)
  const journal = await openPostgresJournal(sql)
  const entries = await journal.read('acme', `run/${runId}`)
  expect(entries.map(({ kind }) => kind)).toEqual(['run.started', ...keys.map(() => 'step.completed'), 'run.completed'])
  await journal.close()
}

test('a run goes on in another process when the worker that had it is killed, again and again', async () => {
  const runId = 'killed-worker'
  for (const effects of [2, 7]) {
    const worker = await startWorker(runId)
    await reach(runId, effects)
    worker.kill('SIGKILL')
    await once(worker, 'exit')
  }
  const last = await startWorker(runId)
  expect(JSON.parse(await last.output)).toEqual({ sum: STEPS * (STEPS + 1) })
  await expectNothingLost(runId, 2)
})

test('a run goes on in the same process when Temporal is killed and comes back', async () => {
  const runId = 'killed-server'
  const worker = await startWorker(runId)
  for (const effects of [2, 6]) {
    await reach(runId, effects)
    await stack.down(['temporal'], { signal: 'SIGKILL' })
    await stack.up(['temporal'])
  }
  expect(JSON.parse(await worker.output)).toEqual({ sum: STEPS * (STEPS + 1) })
  await expectNothingLost(runId, 2)
})
