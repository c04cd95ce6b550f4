import { SomaError } from '@soma/contracts/errors'
import type { Broadcast } from '@soma/ports/broadcast/port'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import type { Sql } from '@soma/ports/sql/port'
import { openPostgres } from '@soma/ports/sql/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { canRefuse } from '../gate/testing.ts'
import type { KillScope, KillSubject } from './kill-switch.ts'
import { openKillSwitches } from './kill-switches.ts'

type Opened = Awaited<ReturnType<typeof open>>

let testSql: Awaited<ReturnType<typeof openTestSql>>
let here: Opened
let there: Opened
beforeAll(async () => {
  testSql = await openTestSql()
  here = await open(testSql)
  there = await open(await openPostgres({ connection: testSql.connection }))
})
afterAll(async () => {
  await here.close()
  await there.close()
  await there.sql.close()
  await testSql.close()
})

/** The kill switches as another process has them: connections of its own. */
async function open(sql: Sql, change: (broadcast: Broadcast) => Broadcast = (broadcast) => broadcast) {
  const journal = canRefuse(await openPostgresJournal(sql))
  const broadcast = change(await openPostgresBroadcast(sql))
  const kill = await openKillSwitches({ sql, broadcast, journal })
  return {
    sql,
    journal,
    kill,
    async close() {
      await kill.close()
      await broadcast.close()
      await journal.close()
    },
  }
}

const pull = (scope: KillScope, target: string, more: { tenant?: string; reason?: string } = {}) =>
  here.kill.pull({ tenant: 'acme', scope, target, reason: 'looks wrong', by: 'user:ada', ...more })

test('a switch acts at once where it was pulled, and soon in every other process', async () => {
  const subject = { tenant: 'acme', tool: 'fast.write' }
  const times: number[] = []
  for (let round = 0; round < 20; round++) {
    const start = performance.now()
    const pulling = pull('tool', 'fast')
    await expect.poll(() => there.kill.stopping(subject), { interval: 1 }).toBeDefined()
    times.push(performance.now() - start)
    const { id } = await pulling
    expect(here.kill.stopping(subject)?.id).toBe(id)
    await here.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
    expect(here.kill.stopping(subject)).toBeUndefined()
    await expect.poll(() => there.kill.stopping(subject), { interval: 1 }).toBeUndefined()
  }
  const median = times.toSorted((one, other) => one - other)[10] as number
  expect(median, `median ${median} ms`).toBeLessThan(250)
})

test('the error of a stopped action says who stopped what and why, and is not to be tried again', async () => {
  const { id } = await pull('capsule', 'deploy', { reason: 'it deletes too much' })
  expect(() => here.kill.assertRunning({ tenant: 'acme', capsules: ['deploy@1.0.0'] })).toThrow(
    expect.objectContaining({
      code: 'killed',
      message: expect.stringMatching(/capsule deploy.*user:ada.*it deletes too much/),
      details: { killSwitch: id, scope: 'capsule', retryable: false },
    }),
  )
  here.kill.assertRunning({ tenant: 'acme', capsules: ['deployment@1.0.0'] })
  await here.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
})

const COVERED: [KillScope, string, Omit<KillSubject, 'tenant'>, boolean][] = [
  ['tool', 'git', { tool: 'git.log' }, true],
  ['tool', 'git.log', { tool: 'git.log' }, true],
  ['tool', 'git.log', { tool: 'git.push' }, false],
  ['tool', 'git', { tool: 'github.issues' }, false],
  ['tool', 'git', {}, false],
  ['tool', 'git.*', { tool: 'git.log' }, true],
  ['tool', '*.delete', { tool: 'files.delete' }, true],
  ['tool', '*.delete', { tool: 'git.branches.delete' }, false],
  ['tool', 'github.*.create', { tool: 'github.issues.create' }, true],
  ['tool', 'github.issues', { tool: 'github.issues.create' }, true],
  ['tool', 'github.issues.create', { tool: 'github.issues' }, false],
  ['capsule', 'a', { capsules: ['a@2.0.0'] }, true],
  ['capsule', 'a@1.0.0', { capsules: ['a@2.0.0'] }, false],
  ['capsule', 'outer', { capsules: ['outer@1.0.0', 'inner@1.0.0'] }, true],
  ['capsule', 'inner', { capsules: ['outer@1.0.0', 'inner@1.0.0'] }, true],
  ['run', 'r1', { run: 'r1' }, true],
  ['run', 'r1', { run: 'r1.child.2' }, true],
  ['run', 'r1', { run: 'r10' }, false],
  ['project', 'p', { project: 'p' }, true],
  ['project', 'p', { run: 'p.deliverable.1' }, true],
  ['project', 'p', { run: 'p2.deliverable' }, false],
  ['persona', 'dev', { persona: 'dev' }, true],
  ['tenant', 'ignored', {}, true],
  ['everything', '', { tool: 'git.log' }, true],
]
test.each(COVERED)('a switch on %s %s and %o: %s', async (scope, target, subject, isCovered) => {
  const { id } = await pull(scope, target)
  expect(here.kill.stopping({ tenant: 'acme', ...subject }) !== undefined).toBe(isCovered)
  expect(here.kill.stopping({ tenant: 'globex', ...subject }) !== undefined).toBe(scope === 'everything')
  expect(here.kill.stopping({ tenant: 'acme', ...subject, exempt: true })).toBeUndefined()
  await here.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
})

test('switches are there again after a restart', async () => {
  const { id } = await pull('run', 'long')
  const restarted = await open(testSql)
  expect(restarted.kill.stopping({ tenant: 'acme', run: 'long' })?.id).toBe(id)
  await restarted.kill.lift({ tenant: 'acme', id, by: 'user:grace' })
  await restarted.close()
  const again = await open(testSql)
  expect(again.kill.stopping({ tenant: 'acme', run: 'long' })).toBeUndefined()
  await again.close()
})

test('whoever waits goes on when the last switch on it is lifted, in every process', async () => {
  const subject = { tenant: 'acme', project: 'held', tool: 'git.log' }
  const [project, tool] = [await pull('project', 'held'), await pull('tool', 'git')]
  await expect.poll(() => there.kill.stopping(subject)).toBeDefined()
  const resumed: string[] = []
  const waiting = [here, there].map(({ kill }, index) =>
    kill.whenLifted(subject, new AbortController().signal).then(() => resumed.push(String(index))),
  )
  await here.kill.lift({ tenant: 'acme', id: project.id, by: 'user:ada' })
  await expect.poll(() => there.kill.stopping({ tenant: 'acme', project: 'held' })).toBeUndefined()
  expect(resumed).toEqual([])
  await there.kill.lift({ tenant: 'acme', id: tool.id, by: 'user:ada' })
  await Promise.all(waiting)
})

test('waiting ends when the caller gives up', async () => {
  const { id } = await pull('run', 'given-up')
  const subject = { tenant: 'acme', run: 'given-up' }
  const caller = new AbortController()
  const waiting = here.kill.whenLifted(subject, caller.signal)
  caller.abort(new Error('no longer wanted'))
  await expect(waiting).rejects.toThrow('no longer wanted')
  await expect(here.kill.whenLifted(subject, caller.signal)).rejects.toThrow('no longer wanted')
  await here.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
})

test('a tenant lists and lifts its own switches and no others', async () => {
  const [ours, theirs] = [await pull('tenant', '*'), await pull('tenant', '*', { tenant: 'globex' })]
  expect((await here.kill.list('acme')).map((each) => each.id)).toEqual([ours.id])
  await expect(here.kill.lift({ tenant: 'acme', id: theirs.id, by: 'user:ada' })).rejects.toMatchObject({ code: 'not_found' })
  await here.kill.lift({ tenant: 'acme', id: ours.id, by: 'user:ada' })
  await expect(here.kill.lift({ tenant: 'acme', id: ours.id, by: 'user:ada' })).rejects.toMatchObject({ code: 'not_found' })
  expect(await here.kill.list('acme')).toEqual([])
  const lifted = (await here.kill.list('acme', { includeLifted: true })).find((each) => each.id === ours.id)
  expect(lifted).toMatchObject({ liftedBy: 'user:ada', reason: 'looks wrong', target: '*' })
  await here.kill.lift({ tenant: 'globex', id: theirs.id, by: 'user:bob' })
})

test('pulling and lifting are in the ledger', async () => {
  const { id } = await pull('tool', 'recorded')
  await here.kill.lift({ tenant: 'acme', id, by: 'user:grace' })
  const entries = (await here.journal.read('acme', 'kill')).slice(-2)
  expect(entries.map((entry) => entry.kind)).toEqual(['kill.pulled', 'kill.lifted'])
  expect(entries[1]?.payload).toMatchObject({ id, by: 'user:ada', liftedBy: 'user:grace' })
})

test('a switch acts everywhere also when it can not be recorded, and the caller hears of that', async () => {
  here.journal.refuses = ({ stream }) => stream === 'kill'
  await expect(pull('tool', 'unrecorded')).rejects.toMatchObject({ code: 'audit_unavailable' })
  here.journal.refuses = () => false
  const subject = { tenant: 'acme', tool: 'unrecorded.write' }
  expect(here.kill.stopping(subject)).toBeDefined()
  await expect.poll(() => there.kill.stopping(subject)).toBeDefined()
  await here.kill.lift({ tenant: 'acme', id: here.kill.stopping(subject)?.id ?? '', by: 'user:ada' })
})

test('a process that no broadcast reaches acts on a switch within seconds all the same, and on its lifting', async () => {
  const deaf = await open(testSql, (broadcast) => ({ ...broadcast, subscribe: async () => async () => undefined }))
  const subject = { tenant: 'acme', tool: 'unheard.write' }
  const { id } = await pull('tool', 'unheard')
  await expect.poll(() => deaf.kill.stopping(subject)?.id, { timeout: 5_000 }).toBe(id)
  await here.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
  await expect.poll(() => deaf.kill.stopping(subject), { timeout: 5_000 }).toBeUndefined()
  await deaf.close()
})

test.each([
  ['is away', () => Promise.reject(new SomaError('dependency_unavailable', 'away'))],
  ['does not answer', () => new Promise<void>(() => undefined)],
])('a switch can be pulled and lifted while the broadcast %s, and acts everywhere within seconds', async (_, publish) => {
  const mute = await open(testSql, (broadcast) => ({ ...broadcast, publish }))
  const subject = { tenant: 'acme', tool: 'untold.write' }
  const pulling = mute.kill.pull({ tenant: 'acme', scope: 'tool', target: 'untold', reason: 'r', by: 'user:ada' })
  await expect.poll(() => there.kill.stopping(subject), { timeout: 5_000 }).toBeDefined()
  const { id } = await pulling
  expect((await mute.journal.read('acme', 'kill')).at(-1)).toMatchObject({ kind: 'kill.pulled', payload: { id } })
  await mute.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
  await expect.poll(() => there.kill.stopping(subject), { timeout: 5_000 }).toBeUndefined()
  await mute.close()
})

test('a drill is seen by every process, stops nothing, and its report is in the ledger', async () => {
  const subject = { tenant: 'acme', tool: 'drilled.write' }
  const report = await here.kill.drill({ tenant: 'acme', scope: 'tool', target: 'drilled', reason: 'practice', by: 'user:ada' })
  expect(report).toMatchObject({
    scope: 'tool',
    target: 'drilled',
    reason: 'practice',
    by: 'user:ada',
    isComplete: true,
    ended: [],
    finished: [],
  })
  expect(report.processes).toHaveLength(2)
  expect(report.slowestMilliseconds).toBe(Math.max(...report.processes.map(({ milliseconds }) => milliseconds ?? 0)))
  expect([here, there].map(({ kill }) => kill.stopping(subject))).toEqual([undefined, undefined])
  expect(await here.kill.list('acme', { includeLifted: true })).not.toContainEqual(expect.objectContaining({ target: 'drilled' }))
  expect((await here.journal.read('acme', 'kill')).at(-1)).toMatchObject({ kind: 'kill.drilled', payload: report })
})

test('a drill waits for a process that no broadcast reaches, and names one that does not see it', async () => {
  const deaf = await open(testSql, (broadcast) => ({ ...broadcast, subscribe: async () => async () => undefined }))
  const drilled = await here.kill.drill({ tenant: 'acme', scope: 'tenant', target: '*', reason: 'practice', by: 'user:ada' })
  expect(drilled).toMatchObject({ isComplete: true, target: '*' })
  expect(drilled.processes).toHaveLength(3)
  await deaf.close()
  await testSql.platform.query("insert into kill.processes (id, name) values ('stuck', 'elsewhere:7')")
  const report = await here.kill.drill({ tenant: 'acme', scope: 'tenant', target: '*', reason: 'practice', by: 'user:ada' })
  expect(report.isComplete).toBe(false)
  expect(report.processes.filter(({ milliseconds }) => milliseconds === undefined)).toEqual([{ name: 'elsewhere:7' }])
  await testSql.platform.query("delete from kill.processes where id = 'stuck'")
})

test('a drill tells of other tenants’ actions no more than how many there are', async () => {
  const calls = ['acme', 'globex'].map((tenant) =>
    there.kill.begin({ subject: { tenant, run: `${tenant}-run` }, operation: 'git.log', key: `${tenant}-key`, canBeEnded: true }),
  )
  const report = await here.kill.drill({ tenant: 'acme', scope: 'everything', target: '', reason: 'practice', by: 'user:ada' })
  expect(report).toMatchObject({ ended: [{ key: 'acme-key' }], finished: [], elsewhere: 1 })
  expect(JSON.stringify(report)).not.toContain('globex')
  expect(calls.map(({ signal }) => signal.aborted)).toEqual([false, false])
  for (const each of calls) each.end()
})

test('a call under way in another process is ended, if it may be, and one that is over is not', async () => {
  const begin = (key: string, canBeEnded: boolean) =>
    there.kill.begin({ subject: { tenant: 'acme', run: 'far' }, operation: 'git.log', key, canBeEnded })
  const [endable, other, over] = [begin('a', true), begin('b', false), begin('c', true)]
  over.end()
  const { id } = await pull('run', 'far')
  await expect.poll(() => endable.signal.aborted).toBe(true)
  expect(endable.signal.reason).toMatchObject({ code: 'killed', details: { killSwitch: id } })
  expect([other.signal.aborted, other.stoppedBy()?.id, over.stoppedBy()]).toEqual([false, id, undefined])
  await here.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
})

test('a slow look at the database never takes a newer switch back', async () => {
  let held: (() => void)[] = []
  const slow: Sql = { ...testSql, platform: slowReads(testSql.platform, (release) => held.push(release)) }
  const opening = open(slow)
  await expect.poll(() => held.length).toBe(1)
  held.pop()?.()
  const third = await opening
  // Something else changes, so that a look is under way that does not know of what comes next.
  const other = await pull('tool', 'other')
  await expect.poll(() => held.length).toBeGreaterThan(0)
  const old = held
  held = []
  const { id } = await third.kill.pull({ tenant: 'acme', scope: 'tool', target: 'newest', reason: 'r', by: 'user:ada' })
  for (const release of old) release()
  await expect.poll(() => held.length).toBeGreaterThan(0)
  expect(third.kill.stopping({ tenant: 'acme', tool: 'newest.write' })?.id).toBe(id)
  await expect
    .poll(() => {
      // Only the newest look counts, and every message begins another.
      for (const release of held.splice(0)) release()
      return third.kill.stopping({ tenant: 'acme', tool: 'other.write' })
    })
    .toBeDefined()
  expect(third.kill.stopping({ tenant: 'acme', tool: 'newest.write' })?.id).toBe(id)
  await third.close()
  for (const each of [id, other.id]) await here.kill.lift({ tenant: 'acme', id: each, by: 'user:ada' })
})

/** The database, whose reading of the switches has happened, but is given out only when released. */
function slowReads(platform: Sql['platform'], hold: (release: () => void) => void): Sql['platform'] {
  const query = (async (asked: string | { text: string }, values?: unknown[]) => {
    const result = await platform.query(asked as string, values)
    const text = typeof asked === 'string' ? asked : asked.text
    if (text.endsWith('from kill.switches where lifted_at is null')) await new Promise<void>((release) => hold(release))
    return result
  }) as Sql['platform']['query']
  return { ...platform, query }
}
