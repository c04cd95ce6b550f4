import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { median } from '../statistics.ts'
import type { Scenario } from './scenario.ts'

const SOMA = fileURLToPath(new URL('../../apps/soma/bin/soma.mjs', import.meta.url))
const GIVE_UP_AFTER = 120_000
const LOOK_EVERY = 10

interface Start {
  /** From spawn to the first yes of /ready. */
  seconds: number
  /** Of the server's process right after, without PostgreSQL's. */
  memoryMB: number
  stopSeconds: number
}

/** `soma start` from spawn to /ready: on an empty data folder, where everything is made first, and on one that is there. */
export const start: Scenario = async ({ rounds, quick, say }) => {
  const count = quick ? 1 : Math.min(rounds, 5)
  const empty: Start[] = []
  const initialised: Start[] = []
  for (let round = 1; round <= count; round++) {
    say(`start: round ${round} of ${count}`)
    const data = await mkdtemp(join(tmpdir(), 'soma-bench-start-'))
    try {
      empty.push(await startOnce(data))
      initialised.push(await startOnce(data))
    } finally {
      await rm(data, { recursive: true, force: true })
    }
  }
  const row = (title: string, starts: readonly Start[]) => [
    title,
    median(starts.map(({ seconds }) => seconds)),
    median(starts.map(({ stopSeconds }) => stopSeconds)),
    median(starts.map(({ memoryMB }) => memoryMB)),
  ]
  const seconds = median(initialised.map((start) => start.seconds))
  return {
    tables: [
      {
        title: 'soma start',
        columns: ['', 'up after s', 'stopped after s', 'memory MB'],
        rows: [row('empty data folder', empty), row('initialised data folder', initialised)],
      },
    ],
    goals: [{ says: 'up in under 4 s', measured: seconds, met: seconds < 4 }],
    measured: { empty, initialised },
  }
}

async function startOnce(data: string): Promise<Start> {
  const port = await freePort()
  const before = performance.now()
  const server = spawn(process.execPath, [SOMA, 'start', '--data', data, '--port', String(port)], {
    cwd: data,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let printed = ''
  server.stderr.on('data', (chunk) => {
    printed = (printed + chunk).slice(-4000)
  })
  const exited = once(server, 'exit')
  try {
    while (!(await isReady(port))) {
      if (server.exitCode !== null) throw new Error(`soma start ended with ${server.exitCode}:\n${printed}`)
      if (performance.now() - before > GIVE_UP_AFTER) throw new Error(`soma start is not ready after ${GIVE_UP_AFTER} ms:\n${printed}`)
      await wait(LOOK_EVERY)
    }
    const seconds = (performance.now() - before) / 1000
    const memoryMB = await memoryOf(server.pid as number)
    const beforeStop = performance.now()
    server.kill('SIGTERM')
    await exited
    return { seconds, memoryMB, stopSeconds: (performance.now() - beforeStop) / 1000 }
  } finally {
    server.kill('SIGTERM')
    await exited
  }
}

async function isReady(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/ready`).then(
    (answer) => answer.ok,
    () => false,
  )
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  return port
}

async function memoryOf(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
  return Math.round(Number(stdout) / 1024)
}
