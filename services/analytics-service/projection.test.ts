import { openTestServer } from '@soma/kernel/http/testing'
import { createMetrics } from '@soma/kernel/telemetry/metrics'
import { openAnalyticsLazily } from '@soma/ports/analytics/lazily'
import type { Analytics } from '@soma/ports/analytics/port'
import { EVERY_TENANT, type Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { createFigures, type Window } from './figures.ts'
import { followJournal } from './follow-journal.ts'
import { createProjectMetrics } from './project-metrics.ts'
import { createProjection, type Projection, tableOf } from './projection.ts'
import { analyticsService } from './service.ts'
import { at, MONDAY, openTestJournal, openTestStore, UNHURRIED, writerFor, writeWorkingDay } from './testing.ts'

let store: Analytics
let sql: Sql
let journal: Journal
let close: () => Promise<void>
beforeAll(async () => {
  store = await openTestStore()
})
afterAll(() => store.close())
beforeEach(async () => {
  const opened = await openTestJournal()
  sql = opened.sql
  journal = opened.journal
  close = opened.close
})
afterEach(() => close())

const DAY: Window = { from: new Date(MONDAY), to: new Date(MONDAY + 86_400_000) }

function project(parts: { sql?: Sql; analytics?: Analytics; metrics?: ReturnType<typeof createMetrics> } = {}): Projection {
  const { metrics = createMetrics({ processMetrics: false }) } = parts
  return createProjection({ sql, journal, analytics: store, ...parts, observe: createProjectMetrics({ journal, metrics }) })
}

async function catchUp(projection: Projection): Promise<void> {
  while (await projection.advance()) {}
}

/** Everything that is answered, for one tenant. */
async function allFigures(tenant: string) {
  const figures = createFigures({ sql, analytics: store })
  return {
    summary: await figures.summary(tenant, DAY),
    operations: await figures.operations(tenant, DAY),
    projects: await figures.projects(tenant, { limit: 10 }),
    totals: await figures.projectTotals(tenant, DAY),
  }
}

/** A database that dies in the middle of the next statement of that kind. */
function dyingAt(statement: string): Sql {
  const query = (async (text: string, values: unknown[]) => {
    if (text.startsWith(statement)) throw new Error('the process was killed')
    return sql.platform.query(text, values)
  }) as Sql['platform']['query']
  return { ...sql, platform: { ...sql.platform, query } }
}
const COMMIT = 'update analytics.progress set position'

/** A store that does not answer as long as `isDown`. */
function unreliable() {
  const state = { isDown: true }
  const analytics: Analytics = {
    ...store,
    insert: (table, rows) => (state.isDown ? Promise.reject(new Error('down')) : store.insert(table, rows)),
    command: (text, parameters) => (state.isDown ? Promise.reject(new Error('down')) : store.command(text, parameters)),
    query: <Row>(text: string, parameters?: Record<string, unknown>) =>
      state.isDown ? Promise.reject(new Error('down')) : store.query<Row>(text, parameters),
  }
  return { state, analytics }
}

test('the figures say what the journal says', async () => {
  await writeWorkingDay(journal, 'acme')
  await catchUp(project())
  const { summary, operations, projects, totals } = await allFigures('acme')
  expect(summary).toEqual({
    from: at(0),
    to: DAY.to.toISOString(),
    runs: { running: 1, completed: 2, failed: 0, cancelled: 1 },
    actions: { completed: 2, failed: 1, refused: 1 },
    decisions: { allowed: 8, denied: 3, needsApproval: 0 },
    approvals: { requested: 1, approved: 1, rejected: 0 },
    kills: { pulled: 1, lifted: 0 },
    spent: { calls: 2, tokens: 20, costMicros: 14, seconds: 0.4 },
  })
  expect(operations).toEqual([
    { operation: 'git.log', calls: 2, failures: 0, p50Milliseconds: 300, p95Milliseconds: 300 },
    { operation: 'files.read', calls: 1, failures: 1, p50Milliseconds: null, p95Milliseconds: null },
  ])
  const none = { calls: 0, tokens: 0, costMicros: 0 }
  expect(projects).toEqual([
    {
      id: 'prj-open',
      name: 'Open',
      status: 'running',
      startedAt: at(50),
      endedAt: null,
      seconds: null,
      deliverables: { planned: 1, done: 0, failed: 0, blocked: 1 },
      refused: 0,
      ...none,
    },
    {
      id: 'prj-failed',
      name: '=1+1',
      status: 'failed',
      startedAt: at(30),
      endedAt: at(40),
      seconds: 10,
      deliverables: { planned: 1, done: 0, failed: 1, blocked: 0 },
      refused: 1,
      ...none,
    },
    {
      id: 'prj-done',
      name: 'Repository, "health"',
      status: 'done',
      startedAt: at(0),
      endedAt: at(20),
      seconds: 20,
      deliverables: { planned: 2, done: 2, failed: 0, blocked: 0 },
      refused: 0,
      calls: 2,
      tokens: 20,
      costMicros: 14,
    },
  ])
  expect(totals).toEqual({
    from: at(0),
    to: DAY.to.toISOString(),
    projects: { running: 1, done: 1, failed: 1, cancelled: 0 },
    successRate: 0.5,
    blockRate: 0.5,
    meanScore: 0.75,
    meanSeconds: 15,
    deliverables: { planned: 4, done: 2, failed: 1, blocked: 1 },
    calls: 2,
    tokens: 20,
    costMicros: 14,
  })
})

test('one tenant never sees the figures of another, also where their runs have the same names', async () => {
  await writeWorkingDay(journal, 'acme')
  const globex = writerFor(journal, 'globex')
  await globex.begin('prj-done', 'project', 5, 'Of globex')
  await globex.act('run/prj-done.scan.2#1', 'git.log', 40, 6)
  await globex.decide('http.projects.list', 'deny', 7)
  await catchUp(project())
  expect((await allFigures('acme')).summary.spent.calls).toBe(2)
  const { summary, operations, projects, totals } = await allFigures('globex')
  expect(summary).toMatchObject({ runs: { running: 1, completed: 0 }, decisions: { allowed: 0, denied: 1 }, spent: { calls: 1 } })
  expect(operations).toEqual([{ operation: 'git.log', calls: 1, failures: 0, p50Milliseconds: 40, p95Milliseconds: 40 }])
  expect(projects).toMatchObject([{ id: 'prj-done', name: 'Of globex', status: 'running', calls: 1 }])
  expect(totals).toMatchObject({ projects: { running: 1, done: 0 }, calls: 1 })
  const nobody = await allFigures('initech')
  expect(nobody).toMatchObject({ operations: [], projects: [], summary: { spent: { calls: 0 } }, totals: { successRate: null, calls: 0 } })
})

test('a window counts from its first moment to before its last', async () => {
  await writeWorkingDay(journal, 'acme')
  await catchUp(project())
  const figures = createFigures({ sql, analytics: store })
  const window = (from: number, to: number) => ({ from: new Date(at(from)), to: new Date(at(to)) })
  expect((await figures.summary('acme', window(7, 8))).actions.completed).toBe(1)
  expect((await figures.summary('acme', window(8, 9))).actions.completed).toBe(1)
  expect((await figures.summary('acme', window(9, 10))).actions.completed).toBe(0)
  expect((await figures.summary('acme', window(30, 50))).runs).toEqual({ running: 0, completed: 1, failed: 0, cancelled: 0 })
  expect((await figures.projectTotals('acme', window(30, 50))).projects).toEqual({ running: 0, done: 0, failed: 1, cancelled: 0 })
})

test('a crash between the insert and the commit of the position counts nothing twice', async () => {
  await writeWorkingDay(journal, 'acme')
  await expect(project({ sql: dyingAt(COMMIT) }).advance()).rejects.toThrow('killed')
  // What came meanwhile would have made the batch another one.
  const write = writerFor(journal, 'acme')
  await write.decide('http.projects.list', 'allow', 74.5)
  await write.act('run/prj-done.scan.2#9', 'git.log', 300, 15)
  await catchUp(project())
  const { summary } = await allFigures('acme')
  expect(summary.decisions.allowed).toBe(9)
  expect(summary.actions.completed).toBe(3)
  const crashed = await allFigures('acme')
  const projection = project()
  await projection.rebuild()
  await catchUp(projection)
  expect(await allFigures('acme')).toEqual(crashed)
})

test('a crash between fixing a batch and its insert loses nothing', async () => {
  await writeWorkingDay(journal, 'acme')
  const { state, analytics } = unreliable()
  state.isDown = false
  const failing: Analytics = { ...analytics, insert: () => Promise.reject(new Error('killed')) }
  await expect(project({ analytics: failing }).advance()).rejects.toThrow('killed')
  await catchUp(project())
  expect((await allFigures('acme')).summary.actions.completed).toBe(2)
})

test('two processes that follow at a time count once', async () => {
  const write = writerFor(journal, 'acme')
  const projections = [project(), project(), project()]
  const writing = (async () => {
    for (let second = 0; second < 300; second++) await write.decide('http.projects.list', 'allow', second)
  })()
  for (let round = 0; round < 10; round++) await Promise.all(projections.map((projection) => projection.advance()))
  await writing
  await Promise.all(projections.map(catchUp))
  expect((await allFigures('acme')).summary.decisions.allowed).toBe(300)
})

test('more than a batch holds is taken in batch by batch, also when the first was interrupted', async () => {
  await Promise.all(
    Array.from({ length: 1300 }, (_, number) => writerFor(journal, 'acme').act(`call/${number}`, 'git.log', number, number % 60)),
  )
  await expect.poll(() => journal.tail({ tenant: EVERY_TENANT, after: '0', limit: 2000 })).toHaveLength(1300)
  await expect(project({ sql: dyingAt(COMMIT) }).advance()).rejects.toThrow('killed')
  await catchUp(project())
  expect((await allFigures('acme')).operations).toEqual([
    { operation: 'git.log', calls: 1300, failures: 0, p50Milliseconds: 650, p95Milliseconds: 1235 },
  ])
})

test('entries that no figure is made of are passed over, and the position moves on', async () => {
  await writerFor(journal, 'acme').append('run/r', 'step.completed', {}, 1)
  await expect.poll(() => journal.lastPosition()).not.toBe('0')
  const projection = project()
  expect(await projection.advance()).toBe(true)
  expect(await projection.advance()).toBe(false)
})

test('rebuilding gives the same figures, and metrics do not count again', async () => {
  await writeWorkingDay(journal, 'acme')
  const metrics = createMetrics({ processMetrics: false })
  const projection = project({ metrics })
  await catchUp(projection)
  const before = await allFigures('acme')
  const counted = await metrics.exposition()
  const [old] = (await sql.platform.query('select generation from analytics.progress')).rows
  await projection.rebuild()
  await catchUp(projection)
  expect(await allFigures('acme')).toEqual(before)
  expect(await metrics.exposition()).toEqual(counted)
  expect(await store.query('select 1 from system.tables where name = {name:String}', { name: tableOf(old.generation) })).toEqual([])
})

test('a store that was emptied is filled again', async () => {
  await writeWorkingDay(journal, 'acme')
  await catchUp(project())
  const before = await allFigures('acme')
  const [{ generation }] = (await sql.platform.query('select generation from analytics.progress')).rows
  await store.command('drop table {facts:Identifier}', { facts: tableOf(generation) })
  await expect(allFigures('acme')).rejects.toMatchObject({ code: 'dependency_unavailable' })
  await catchUp(project())
  expect(await allFigures('acme')).toEqual(before)
})

test('the metrics count projects that end and deliverables that policy blocks', async () => {
  const metrics = createMetrics({ processMetrics: false })
  await writeWorkingDay(journal, 'acme')
  const write = writerFor(journal, 'acme')
  await write.begin('prj-gone', 'project', 80, 'Gone')
  await write.cancel('prj-gone', 84)
  const counting = project({ metrics })
  // An alert sees the first of them only if they were counted before.
  for (const status of ['done', 'failed', 'cancelled'])
    expect((await metrics.exposition()).text).toContain(`kamachiq_runs_total{status="${status}"} 0`)
  await catchUp(counting)
  const { text } = await metrics.exposition()
  expect(text).toContain('kamachiq_runs_total{status="done"} 1')
  expect(text).toContain('kamachiq_runs_total{status="failed"} 1')
  expect(text).toContain('kamachiq_runs_total{status="cancelled"} 1')
  expect(text).toContain('kamachiq_run_duration_seconds_sum 34')
  expect(text).toContain('kamachiq_run_duration_seconds_count 3')
  expect(text).toContain('kamachiq_governance_block_total 2')
})

test('text that is no text holds nothing up', async () => {
  await writerFor(journal, 'acme').begin('prj-1', 'project', 1, `half \ud800 "quoted" \u0000 東京 ${'x'.repeat(100_000)}`)
  await catchUp(project())
  expect((await allFigures('acme')).projects[0]?.name).toContain('half \ufffd "quoted" \u0000 東京')
})

const DELAYS = { first: 1, gather: 1, idle: 60_000, retry: 10 }
const silent = { info: () => undefined, warn: () => undefined }

test('what is appended shows in the figures without being asked for, and a store that comes back catches up', async () => {
  const { state, analytics } = unreliable()
  const told: string[] = []
  const logger = { warn: (_: unknown, text: string) => told.push(text), info: (text: string) => told.push(text) }
  const stop = followJournal({ projection: project({ analytics }), journal, logger: logger as never, delays: DELAYS })
  await writeWorkingDay(journal, 'acme')
  await expect.poll(() => told).toHaveLength(1)
  state.isDown = false
  const calls = async () => (await allFigures('acme').catch(() => undefined))?.summary.spent.calls
  await expect.poll(calls).toBe(2)
  await writerFor(journal, 'acme').act('call/x', 'git.log', 5, 90)
  await expect.poll(calls).toBe(3)
  expect(told).toEqual([expect.stringContaining('fall behind'), expect.stringContaining('again')])
  await stop()
})

test('a follower stops at once, whatever it waits for', async () => {
  const slow = { ...DELAYS, first: 60_000 }
  const started = performance.now()
  await followJournal({ projection: project(), journal, logger: silent as never, delays: slow })()
  expect(performance.now() - started).toBeLessThan(1000)
})

test('starting does not open the store; it opens in the background', async () => {
  let openings = 0
  const analytics = openAnalyticsLazily(async () => {
    openings++
    return { ...store, close: async () => undefined }
  })
  const stoppers: (() => Promise<void>)[] = []
  const server = await openTestServer([analyticsService], {
    needs: { sql, journal, analytics, onStop: (stop) => stoppers.push(stop) },
    config: { http: UNHURRIED },
  })
  await writeWorkingDay(journal, 'acme')
  await server.listen()
  expect(openings).toBe(0)
  const asked = () => server.app.inject({ url: '/v1/analytics/summary', headers: { authorization: 'Bearer acme/ada' } })
  expect((await asked()).json()).toMatchObject({ code: 'dependency_unavailable' })
  await expect.poll(async () => (await asked()).statusCode).toBe(200)
  expect(openings).toBe(1)
  for (const stop of stoppers) await stop()
  await server.close()
})
