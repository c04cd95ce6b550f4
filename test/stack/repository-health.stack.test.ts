import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'

const run = promisify(execFile)
const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const SOMA = join(ROOT, 'apps/soma/bin/soma.mjs')
/** Everything that a port stands on. Models are called by nothing in this project. */
const BEHIND_PORTS = ['postgres', 'redis', 'minio', 'clickhouse', 'qdrant', 'kafka', 'temporal', 'opa', 'openbao']

interface DemoResult {
  status: string
  deliverables: { id: string; status: string; wave: number; message?: string }[]
  approvals: { deliverable: string; summary: string }[]
  review: unknown
  report: { json: string }
  budget: { spent: { calls: number; tokens: number } }
}

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'soma-stack-'))
  // A copy, so that nobody commits to it between the two runs.
  await run('git', ['clone', '--quiet', ROOT, join(folder, 'repository')])
})
afterAll(() => rm(folder, { recursive: true, force: true }))

test('the whole repository-health project comes out the same on the real servers as on the embedded parts', {
  timeout: 600_000,
}, async () => {
  // Servers of its own: a platform with another database must not find the events and the rules of this one.
  const stack = openStack(SERVERS, join(folder, 'stack'))
  try {
    await stack.up(BEHIND_PORTS)
    const embedded = await runDemo('embedded', {})
    const real = await runDemo('real', { SOMA_PROFILE: 'stack', SOMA_STACK_ENV: join(stack.folder, 'stack.env') })
    expect(real.deliverables.length).toBeGreaterThan(10)
    expect(outcomeOf(real)).toEqual(outcomeOf(embedded))
    expect(await findingsOf(real)).toEqual(await findingsOf(embedded))
  } finally {
    await stack.remove()
  }
})

async function runDemo(name: string, env: Record<string, string>): Promise<DemoResult> {
  const words = ['demo', '--once', '--json', '--repository', join(folder, 'repository'), '--data', join(folder, name)]
  const { stdout } = await run(process.execPath, [SOMA, ...words], { cwd: folder, env: { ...process.env, ...env } })
  return JSON.parse(stdout) as DemoResult
}

/** What must not depend on what the platform stands on: everything but ids and times. */
function outcomeOf({ status, deliverables, approvals, review, budget }: DemoResult) {
  return {
    status,
    deliverables: deliverables.map(({ id, status, wave, message }) => ({ id, status, wave, message })),
    approvals: approvals.map(({ deliverable, summary }) => ({ deliverable, summary })),
    review,
    calls: budget.spent.calls,
    tokens: budget.spent.tokens,
  }
}

/** What each deliverable found out, without when it was and how long it took. */
async function findingsOf({ report }: DemoResult): Promise<Record<string, unknown>> {
  const withoutTimes = (key: string, value: unknown) => (/^(asOf|seconds)$|PerSecond$/.test(key) ? undefined : value)
  const { deliverables } = JSON.parse(await readFile(report.json, 'utf8'), withoutTimes) as {
    deliverables: { id: string; output?: unknown }[]
  }
  return Object.fromEntries(deliverables.map(({ id, output }) => [id, output]))
}
