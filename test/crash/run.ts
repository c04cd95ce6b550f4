import { type ChildProcess, fork } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pass } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Project } from '@soma/contracts/project'
import { verifyLedger } from '@soma/kernel/ledger/verify-ledger'
import { startEmbeddedServer } from '@soma/ports/sql/embedded-server'
import { compareAuditTopic } from './audit-events.ts'
import { CAPSULE, EXPECTED, PLAN } from './project.ts'
import { startServers } from './servers.ts'
import { linesOf } from './world.ts'

/**
 * Kills the server at random instants while projects run, starts it again, and looks at the end whether every project ended as it
 * would have, every effect happened once, and the ledger holds. With `--on temporal,kafka` it runs on those servers, and they are killed
 * as well. Every number comes from the seed, which is printed.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '100' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    open: { type: 'string', default: '3' },
    on: { type: 'string', default: '' },
  },
})
const rounds = Number(values.rounds)
const random = seeded(Number(values.seed))
const root = await mkdtemp(join(tmpdir(), 'soma-crash-'))
const data = join(root, 'data')
const world = join(root, 'world')
await mkdir(data)
await mkdir(world)
console.log(`${rounds} rounds, seed ${values.seed}`)
const servers = await startServers(root, values.on.split(',').filter(Boolean))

const wanted: string[] = []
const started = new Map<string, string>()
let killedBeforeUp = 0
const kills = new Map<string, number>()
let startMilliseconds = 4000

for (let round = 1; round <= rounds; round++) {
  // On real servers every other round also kills one of them, while the platform lives on.
  const victim = servers && random() < 0.5 ? (servers.names[Math.floor(random() * servers.names.length)] as string) : undefined
  const child = startServer()
  const killed = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const killAfter = (milliseconds: number) => setTimeout(() => child.kill('SIGKILL'), milliseconds)
  // One kill in four hits the start itself, in whatever it is doing then: recovery must survive its own death.
  if (!victim && random() < 0.25) killAfter(random() * startMilliseconds)
  const began = performance.now()
  const server = await Promise.race([child.up, killed.then(() => undefined)])
  if (server) {
    startMilliseconds = performance.now() - began
    const working = keepProjectsGoing(server).catch(ignoreDeath)
    if (victim) await pass(random() * 2500).then(() => servers?.killAndRestart(victim))
    killAfter(random() * 2500)
    await working
  } else killedBeforeUp++
  await killed
  if (victim) kills.set(victim, (kills.get(victim) ?? 0) + 1)
  if (round % 10 === 0) console.log(`round ${round}: ${started.size} projects begun, ${killedBeforeUp} kills before the server was up`)
}
if (servers) console.log(`servers killed: ${[...kills].map(([name, times]) => `${name} ${times} times`).join(', ')}`)

const problems: string[] = []
const last = startServer()
const server = await last.up
for (const key of wanted) {
  while (!started.has(key)) {
    await begin(server, key)
    if (!started.has(key)) await pass(1000)
  }
}
for (const id of started.values()) problems.push(...(await outcomeOf(server, id)))
problems.push(...(await effects()), ...(await ledger(server)))
if (servers?.names.includes('kafka')) problems.push(...(await compareAuditTopic(servers.env)))
last.kill('SIGTERM')
await new Promise((resolve) => last.once('exit', resolve))
await servers?.remove()
await rm(root, { recursive: true, force: true })

for (const problem of problems) console.log(`✗ ${problem}`)
console.log(
  `${started.size} projects over ${rounds} kills: ${problems.length === 0 ? 'each ended as it should, each effect once, ledger valid' : `${problems.length} problems`}`,
)
console.log(`${problems.length === 0 ? 1 : 0} passed, ${problems.length === 0 ? 0 : 1} failed, 0 skipped`)
process.exitCode = problems.length === 0 ? 0 : 1

interface Up {
  url: string
  key: string
}

function startServer(): ChildProcess & { up: Promise<Up> } {
  const child = fork(new URL('./server.ts', import.meta.url).pathname, [data, world], {
    execArgv: ['--import', 'tsx'],
    // Not as arguments: passwords are among them, and everybody on the machine may read those.
    env: { ...process.env, CRASH_SETTINGS: JSON.stringify(servers?.env ?? {}) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const up = new Promise<Up>((resolve) => {
    child.once('message', async (message) =>
      resolve({ url: (message as { url: string }).url, key: (await readFile(join(data, 'admin.key'), 'utf8')).trim() }),
    )
  })
  return Object.assign(child, { up })
}

/** Begins projects until enough are open. A start whose answer was lost is asked for again under its key. */
async function keepProjectsGoing(server: Up): Promise<void> {
  const { name, version } = await call<{ name: string; version: string }>(server, '/v1/capsules', { yaml: CAPSULE })
  await call(server, `/v1/capsules/${name}/${version}/sign`, {})
  for (const key of wanted) if (!started.has(key)) await begin(server, key)
  const page = await call<{ items: { status: string }[] }>(server, '/v1/projects?limit=200')
  const open = page.items.filter(({ status }) => !['done', 'failed', 'cancelled'].includes(status)).length
  for (let count = open; count < Number(values.open); count++) {
    const key = `project-${wanted.length + 1}`
    wanted.push(key)
    await begin(server, key)
  }
}

async function begin(server: Up, key: string): Promise<void> {
  const project = await call<Project>(server, '/v1/projects', { name: key, plan: PLAN }, key).catch((error) => {
    // The request that was killed under way keeps its key for two minutes; whether it began the project is seen after that.
    if (/answered 409/.test(String(error))) return undefined
    throw error
  })
  if (project) started.set(key, project.id)
}

async function outcomeOf(server: Up, id: string): Promise<string[]> {
  for (;;) {
    const project = await call<Project>(server, `/v1/projects/${id}`)
    if (!['done', 'failed', 'cancelled'].includes(project.status)) {
      await pass(100)
      continue
    }
    const problems = project.deliverables
      .filter(({ status }) => status !== 'done')
      .map((each) => `${id}: deliverable ${each.id} is ${each.status}: ${each.message}`)
    if (project.status !== 'done') problems.push(`${id} ended as ${project.status}: ${project.error?.message}`)
    const calls = project.budget.spent.calls ?? 0
    // A kill between settling and recording charges a call twice: more than was spent, never less.
    if (calls < EXPECTED.calls) problems.push(`${id} was charged for ${calls} calls of ${EXPECTED.calls}`)
    return problems
  }
}

async function effects(): Promise<string[]> {
  const problems: string[] = []
  for (const [name, each] of [
    ['make', EXPECTED.make],
    ['send', EXPECTED.send],
  ] as const) {
    const lines = await linesOf(join(world, `${name}.log`))
    const twice = lines.filter((line, index) => lines.indexOf(line) !== index)
    if (twice.length > 0) problems.push(`${twice.length} effects of world.${name} happened twice: ${twice.slice(0, 3).join(', ')}`)
    if (lines.length !== started.size * each) problems.push(`world.${name} happened ${lines.length} times, not ${started.size * each}`)
  }
  return problems
}

async function ledger(server: Up): Promise<string[]> {
  const response = await fetch(`${server.url}/v1/audit/export`, { headers: { authorization: `Bearer ${server.key}` } })
  const verdict = await verifyLedger((await response.text()).trim().split('\n'))
  console.log(`ledger: ${verdict.entries} entries in ${verdict.streams} streams, ${verdict.checkpoints} checkpoints`)
  return verdict.problems.map(({ message }) => `ledger: ${message}`)
}

async function call<Body>(server: Up, path: string, body?: unknown, key?: string): Promise<Body> {
  const response = await fetch(server.url + path, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${server.key}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key ? { 'idempotency-key': key } : {}),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${await response.text()}`)
  return (await response.json()) as Body
}

/** The server was killed under our call, or what it stands on; anything else that it answered in words is a finding. */
function ignoreDeath(error: unknown): void {
  if (error instanceof TypeError || /terminated|ECONNRE|socket/.test(String(error))) return
  if (servers && /answered 50[34]/.test(String(error))) return
  throw error
}

/** mulberry32: small, and the same everywhere. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

// The last server's stop took the database down; a kill in that moment must not leave it running.
if (!servers)
  await startEmbeddedServer({ directory: join(data, 'postgres') }).then(
    (server) => server.stop(),
    () => undefined,
  )
