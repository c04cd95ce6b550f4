import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { ErrorCode } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import { verifyLedger } from '@soma/kernel/ledger/verify-ledger'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { type HeldAnswers, openHeldAnswers } from './held-answers.ts'
import { openProxiedPlatform, type Proxied } from './proxied-platform.ts'
import type { Fault } from './proxied-server.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
/** What has not been answered after so many milliseconds hangs. With each answer of the database 2 s late a run's start takes half of it. */
const AT_MOST = 90_000
/** What is there again is used again within so many milliseconds. */
const BACK_WITHIN = 60_000
/** A request whose answer could not be kept counts as under way for two minutes. */
const KEYS_FREE_WITHIN = 130_000

/** What is asked of the platform: see a list, call a tool, keep what a tool fetched, run a capsule, read figures. */
const WORK = {
  list: () => ({ path: '/v1/projects' }),
  call: () => ({ path: '/v1/operations/git.inspect/execute', body: { input: { repository: REPOSITORY } } }),
  // Figures that are never the same, for an object that is there already is not stored again.
  keep: () => ({ path: '/v1/operations/http.download/execute', body: { input: { url: `${platform.url}/metrics` } } }),
  run: () => ({ path: '/v1/runs', body: { capsule: 'repository_inventory', version: '1.0.0', inputs: { repository: REPOSITORY } } }),
  figures: () => ({ path: '/v1/analytics/summary' }),
} as const
type Work = keyof typeof WORK
const EVERYTHING = Object.keys(WORK) as Work[]

/** What is under way when a fault begins: a call that is answered only then, and another one after it. */
const UNDER_WAY = `
apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: under_way, version: 1.0.0, summary: Fetches what takes its time and goes on }
inputs: { type: object, properties: { url: { type: string }, repository: { type: string } }, required: [url, repository] }
permissions: { tools: [http.get, git.inspect] }
steps:
  - { id: fetched, tool: http.get, with: { url: "\${{ inputs.url }}" } }
  - { id: inspected, tool: git.inspect, with: { repository: "\${{ inputs.repository }}" }, needs: [fetched] }
outputs: { value: { status: "\${{ steps.fetched.status }}" } }
`

interface Row {
  server: Proxied
  fault: Fault | 'full'
  refuses: readonly Work[]
  code?: ErrorCode
  /** Ports that are not well, as /ready and /v1/status say. */
  ports: readonly string[]
}

/** A server that is down, and one that resets connections, refuse the same. */
const away = (server: Proxied, ports: string[], refuses: readonly Work[] = [], code?: ErrorCode): Row[] =>
  (['down', 'resetting'] as const).map((fault) => ({ server, fault, ports, refuses, code }))
const slow = (server: Proxied, ports: string[], refuses: readonly Work[] = [], code?: ErrorCode): Row => ({
  server,
  fault: 'slow',
  ports,
  refuses,
  code,
})

/** The table of docs/operations/degradation.md. What is not refused goes on. */
const TABLE: Row[] = [
  ...away('postgres', ['sql', 'broadcast'], EVERYTHING, 'dependency_unavailable'),
  slow('postgres', ['sql', 'broadcast']),
  { server: 'postgres', fault: 'full', ports: ['journal'], refuses: EVERYTHING, code: 'audit_unavailable' },
  { server: 'postgres', fault: 'hanging', ports: ['sql', 'broadcast'], refuses: EVERYTHING, code: 'dependency_unavailable' },
  ...away('opa', ['policy'], EVERYTHING, 'policy_unavailable'),
  slow('opa', ['policy'], EVERYTHING, 'policy_unavailable'),
  ...away('temporal', ['workflows'], ['run'], 'dependency_unavailable'),
  slow('temporal', ['workflows']),
  ...away('minio', ['objects'], ['keep'], 'dependency_unavailable'),
  slow('minio', ['objects']),
  { server: 'minio', fault: 'full', ports: [], refuses: ['keep'], code: 'disk_full' },
  ...away('clickhouse', ['analytics'], ['figures'], 'dependency_unavailable'),
  slow('clickhouse', ['analytics']),
  ...away('openbao', ['secrets']),
  slow('openbao', ['secrets']),
  ...away('otel-collector', []),
  slow('otel-collector', []),
]
const REQUIRED = ['sql', 'journal', 'policy']

let platform: Awaited<ReturnType<typeof openProxiedPlatform>>
let answers: HeldAnswers
/** Streams in the ledger of the calls that were confirmed. */
const called = new Set<string>()
/** Those that were taken and have not been seen to end. */
const runs = new Set<string>()

beforeAll(async () => {
  answers = await openHeldAnswers()
  platform = await openProxiedPlatform()
  await vi.waitFor(async () => expect(await askAll(newKeys())).toEqual(outcomes()), { timeout: BACK_WITHIN, interval: 250 })
  await untilCompleted()
  await demand('/v1/capsules', { yaml: UNDER_WAY })
  await demand('/v1/capsules/under_way/1.0.0/sign', {})
}, 300_000)
afterAll(async () => {
  await platform?.close()
  answers?.close()
})

/** Asks for what must be done. */
async function demand(path: string, body: unknown): Promise<{ runId?: string }> {
  const answer = await platform.call(path, { body })
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}: ${await answer.text()}`)
  return (await answer.json()) as { runId?: string }
}

/** A run whose first call is under way, and will be until it is let go. */
async function startUnderWay(): Promise<{ meetTheFault(): Promise<void> }> {
  const url = answers.newUrl()
  const inputs = { url, repository: REPOSITORY }
  const { runId } = await demand('/v1/runs', { capsule: 'under_way', version: '1.0.0', inputs })
  runs.add(String(runId))
  await expect.poll(() => answers.wasAsked(url), { timeout: BACK_WITHIN }).toBe(true)
  const before = await endedCalls()
  return {
    async meetTheFault() {
      answers.letGo(url)
      await expect.poll(endedCalls, { timeout: AT_MOST }).toBeGreaterThan(before)
    },
  }
}

/** Calls of `http.*` that have ended, in whatever way. */
async function endedCalls(): Promise<number> {
  const figures = await (await fetch(`${platform.url}/metrics`)).text()
  const ended = figures.matchAll(/^tool_actions_total\{[^}]*tool="http"[^}]*\} (\d+)$/gm)
  return [...ended].reduce((sum, [, count]) => sum + Number(count), 0)
}

type Keys = Record<Work, string>
function newKeys(): Keys {
  return Object.fromEntries(EVERYTHING.map((work) => [work, randomUUID()])) as Keys
}

function outcomes({ refuses, code }: Pick<Row, 'refuses' | 'code'> = { refuses: [] }) {
  return Object.fromEntries(EVERYTHING.map((work) => [work, refuses.includes(work) ? code : 'goes on']))
}

async function askAll(keys: Keys): Promise<Record<string, string>> {
  return Object.fromEntries(await Promise.all(EVERYTHING.map(async (work) => [work, await ask(work, keys[work])])))
}

/** @returns `goes on` or the code of the problem */
async function ask(work: Work, key: string): Promise<string> {
  const { path, body } = { body: undefined, ...WORK[work]() }
  const began = performance.now()
  const answer = await platform.call(path, { body, headers: { 'idempotency-key': key } })
  const said = (await answer.json()) as { code?: string; runId?: string }
  expect(performance.now() - began, `${work} was answered in time`).toBeLessThan(AT_MOST)
  if (!answer.ok) return String(said.code)
  if (work === 'call' || work === 'keep') called.add(`action/call/${key}`)
  if (said.runId) runs.add(said.runId)
  return 'goes on'
}

/** What has become of a run so far. */
async function endOf(run: string): Promise<{ status: string; code?: string }> {
  const { status, error } = (await (await platform.call(`/v1/runs/${run}`)).json()) as { status: string; error?: { code: string } }
  return { status, code: error?.code }
}

async function untilCompleted(): Promise<void> {
  const completed = { status: 'completed', code: undefined }
  for (const run of runs) await vi.waitFor(async () => expect(await endOf(run)).toEqual(completed), { timeout: BACK_WITHIN, interval: 250 })
  runs.clear()
}

async function unwellAt(path: '/ready' | '/v1/status', field: 'checks' | 'ports'): Promise<string[]> {
  const reports = ((await (await platform.call(path)).json()) as Record<string, Record<string, { ok: boolean }>>)[field] ?? {}
  return Object.entries(reports).flatMap(([port, { ok }]) => (ok ? [] : [port]))
}

describe.each(TABLE.map((row) => [`${row.server} ${row.fault}`, row] as const))('%s', (_, { server, fault, refuses, code, ports }) => {
  afterEach(() => platform.heal(server))
  const lets = EVERYTHING.filter((work) => !refuses.includes(work))

  test(`goes on: ${lets.join(', ') || 'nothing'}; refused: ${refuses.join(', ') || 'nothing'}; what is under way completes`, async () => {
    const underWay = await startUnderWay()
    await platform.spoil(server, fault)
    await underWay.meetTheFault()
    const keys = newKeys()
    const refused = outcomes({ refuses, code })
    // What fits into the last pages of a full disk is still taken.
    if (fault === 'full') await expect.poll(() => askAll(keys), { timeout: BACK_WITHIN }).toEqual(refused)
    else expect(await askAll(keys)).toEqual(refused)
    const readiness = async () => (await fetch(`${platform.url}/ready`)).status
    await expect.poll(readiness).toBe(ports.some((port) => REQUIRED.includes(port)) ? 503 : 200)
    await expect.poll(() => unwellAt('/ready', 'checks')).toEqual(expect.arrayContaining([...ports]))
    if (!refuses.includes('list')) expect(await unwellAt('/v1/status', 'ports')).toEqual(expect.arrayContaining([...ports]))
    await platform.heal(server)
    // Under the same keys: what was refused is done now, and what was done is not done again.
    await expect.poll(() => askAll(keys), { timeout: KEYS_FREE_WITHIN, interval: 250 }).toEqual(outcomes())
    await expect.poll(() => unwellAt('/ready', 'checks'), { timeout: BACK_WITHIN }).toEqual([])
    await untilCompleted()
  }, 400_000)
})

describe('after all of that', () => {
  let entries: JournalEntry[]
  beforeAll(async () => {
    await platform.call('/v1/audit/checkpoints', { body: {} })
    const lines = (await (await platform.call('/v1/audit/export')).text()).trim().split('\n')
    const parsed = lines.map((line) => JSON.parse(line) as { entry?: JournalEntry })
    expect(await verifyLedger(lines)).toMatchObject({ ok: true, problems: [] })
    entries = parsed.flatMap(({ entry }) => entry ?? [])
  }, 300_000)

  test('every call that was confirmed is in the ledger, once, and the ledger verifies', () => {
    const completed = entries.filter(({ kind }) => kind === 'action.completed').map(({ stream }) => stream)
    expect(called.size).toBeGreaterThan(TABLE.length)
    expect(completed.filter((stream) => called.has(stream)).toSorted()).toEqual([...called].toSorted())
  })

  test('the figures have caught up with the ledger', async () => {
    const inLedger = new Map<string, number>()
    for (const { kind, payload } of entries) {
      const { operation } = payload as { operation?: string }
      if (kind === 'action.completed' && operation) inLedger.set(operation, (inLedger.get(operation) ?? 0) + 1)
    }
    const inFigures = async () => {
      const said = (await (await platform.call('/v1/analytics/operations')).json()) as {
        items: { operation: string; calls: number; failures: number }[]
      }
      return new Map(said.items.map(({ operation, calls, failures }) => [operation, calls - failures]))
    }
    await expect.poll(inFigures, { timeout: BACK_WITHIN }).toEqual(inLedger)
  })
})
