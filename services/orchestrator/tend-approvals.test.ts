import { SomaError } from '@soma/contracts/errors'
import { DELIVERABLE_START } from '@soma/kernel/approvals/approval'
import { approve, named, openTestApprovals, PUSH, question, TERMS } from '@soma/kernel/approvals/testing'
import type { Workflows } from '@soma/ports/workflows/port'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { tendApprovals } from './tend-approvals.ts'

type Signal = Parameters<Workflows['signal']>[0]
let world: Awaited<ReturnType<typeof openTestApprovals>>
let stop: () => Promise<void>
/** Signals that reached runs, and what happens to the next. */
const signals: Signal[] = []
let receive: (signal: Signal) => void = () => undefined
const workflows = {
  signal: async (signal: Signal) => {
    receive(signal)
    signals.push(signal)
  },
} as Workflows

const begin = () => {
  stop = tendApprovals({ approvals: world.approvals, workflows, logger: { warn: () => undefined } })
}
beforeAll(async () => {
  world = await openTestApprovals()
  begin()
  // A follower begins where the journal is at its first look.
  await vi.waitUntil(async () => (await world.sql.platform.query('select 1 from approvals.followers')).rowCount === 1, { timeout: 10_000 })
})
afterEach(() => {
  receive = () => undefined
})
afterAll(async () => {
  await stop()
  await world.close()
})

const ask = async (more: Parameters<typeof question>[0] = {}) => (await world.approvals.ask(question(more))).approval
const told = (run: string | undefined) => signals.filter(({ runId }) => runId === run).map(({ name, payload }) => ({ name, payload }))

test('a run is told what became of what it asked for: by which person, and why', async () => {
  const [yes, no] = [await ask(), await ask()]
  await approve(world.elsewhere, yes)
  await world.elsewhere.answer({ tenant: 'acme', id: no.id, approve: false, by: named('grace'), reason: 'not today' })
  await expect.poll(() => told(yes.run)).toEqual([{ name: `approval:${yes.id}`, payload: { approved: true, by: 'user:grace' } }])
  await expect
    .poll(() => told(no.run))
    .toEqual([{ name: `approval:${no.id}`, payload: { approved: false, by: 'user:grace', reason: 'not today' } }])
})

test('nothing is told before enough people approved', async () => {
  const approval = await ask({ terms: { ...TERMS, by: 2 } })
  await approve(world.approvals, approval, named('grace'))
  const next = await approve(world.approvals, await ask(), named('grace'))
  await expect.poll(() => told(next.run)).toHaveLength(1)
  expect(told(approval.run)).toEqual([])
  await approve(world.approvals, approval, named('linus'))
  await expect.poll(() => told(approval.run)).toMatchObject([{ payload: { approved: true, by: 'user:linus' } }])
})

test('a run is told that nobody answered in time', async () => {
  const approval = await ask({ terms: { ...TERMS, expiresAfterSeconds: 1 } })
  await expect
    .poll(() => told(approval.run), { timeout: 15_000 })
    .toEqual([{ name: `approval:${approval.id}`, payload: { approved: false, by: 'platform', expired: true } }])
})

test('a project hears of its deliverables as words', async () => {
  const project = 'prj-1'
  const approval = await ask({ run: project, project, deliverable: 'd', action: { ...PUSH, name: DELIVERABLE_START } })
  await approve(world.approvals, approval)
  await expect
    .poll(() => told(project))
    .toEqual([{ name: 'word', payload: { kind: 'approval', id: approval.id, approved: true, by: 'user:grace' } }])
})

test('an answer that was given while nothing ran, or that could not be told, is told later, once the run can be reached', async () => {
  await stop()
  const approval = await ask()
  await approve(world.elsewhere, approval)
  let failures = 0
  receive = ({ runId }) => {
    if (runId === approval.run && failures++ < 2) throw new SomaError('dependency_unavailable', 'away')
  }
  begin()
  await expect.poll(() => told(approval.run), { timeout: 15_000 }).toHaveLength(1)
})

test('a run that has ended holds nothing up', async () => {
  const ended = await ask()
  receive = ({ runId }) => {
    if (runId === ended.run) throw new SomaError('not_found', 'There is no such run.')
  }
  await approve(world.approvals, ended)
  const next = await approve(world.approvals, await ask())
  await expect.poll(() => told(next.run)).toHaveLength(1)
  expect(told(ended.run)).toEqual([])
})
