import type { JournalEntry } from '@soma/contracts/journal'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { canRefuse } from '../gate/testing.ts'
import { type ApprovalRequest, type Approvals, approvalDigest, DELIVERABLE_START, openApprovals } from './approvals.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
let journal: ReturnType<typeof canRefuse>
let approvals: Approvals
/** As another process has them. */
let elsewhere: Approvals
beforeAll(async () => {
  sql = await openTestSql()
  journal = canRefuse(await openPostgresJournal(sql))
  approvals = await openApprovals({ sql, journal })
  elsewhere = await openApprovals({ sql, journal: await openPostgresJournal(sql) })
})
afterAll(async () => {
  await journal.close()
  await sql.close()
})

let runs = 0
const question = (more: Partial<ApprovalRequest> = {}): ApprovalRequest => ({
  tenant: 'acme',
  action: 'tool.git.push',
  summary: 'Push to main?',
  arguments: { branch: 'main', force: false },
  reasons: [{ rule: 'ask', text: 'A person must agree.' }],
  run: `run-${runs++}`,
  ...more,
})
const approve = (id: string, by = 'user:ada') => approvals.decide({ tenant: 'acme', id, approve: true, by })
const granted = (id: string, what: Partial<Parameters<Approvals['granted']>[2]> = {}, tenant = 'acme') => {
  const { action, arguments: args } = question()
  return approvals.granted(tenant, [id], { action, arguments: args, ...what })
}

test('an approval holds for exactly the action and the arguments that were shown', async () => {
  const { id } = await approvals.request(question())
  expect(await granted(id)).toEqual([])
  await approve(id)
  expect(await granted(id)).toEqual([id])
  expect(await granted(id, { arguments: { force: false, branch: 'main' } })).toEqual([id])
  expect(await granted(id, { arguments: { branch: 'main', force: true } })).toEqual([])
  expect(await granted(id, { arguments: { branch: 'main' } })).toEqual([])
  expect(await granted(id, { action: 'tool.git.delete' })).toEqual([])
  expect(await granted(id, {}, 'globex')).toEqual([])
})

test('two arguments have one digest only when they are the same JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      const isSame = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))
      expect(approvalDigest('a', one) === approvalDigest('a', other)).toBe(isSame)
      expect(approvalDigest('a', one)).not.toBe(approvalDigest('b', one))
      expect(approvalDigest('a', one)).toBe(approvalDigest('a', sorted(one)))
    }),
  )
})

test('a rejected approval grants nothing', async () => {
  const { id } = await approvals.request(question())
  const decided = await approvals.decide({ tenant: 'acme', id, approve: false, by: 'user:ada', note: 'not on Friday' })
  expect(decided).toMatchObject({ status: 'rejected', decidedBy: 'user:ada', note: 'not on Friday' })
  expect(await granted(id)).toEqual([])
})

test('what a deliverable does is covered by the approval of the deliverable, and nothing of another', async () => {
  const what = { action: DELIVERABLE_START, arguments: { capsule: 'deploy@1.0.0' }, project: 'p', deliverable: 'd' }
  const { id } = await approvals.request(question(what))
  await approve(id)
  expect(await granted(id, { project: 'p', deliverable: 'd' })).toEqual([id])
  expect(await granted(id, { project: 'p', deliverable: 'other' })).toEqual([])
  expect(await granted(id, { project: 'other', deliverable: 'd' })).toEqual([])
  expect(await granted(id)).toEqual([])
})

test('asking for the same again in a run is the same approval, also at once and from two processes', async () => {
  const asked = question()
  const all = await Promise.all(Array.from({ length: 10 }, (_, index) => (index % 2 ? approvals : elsewhere).request(asked)))
  expect(new Set(all.map((each) => each.id)).size).toBe(1)
  const id = all[0]?.id ?? ''
  expect(await kinds(id)).toEqual(['approval.requested'])
  await approve(id)
  expect(await elsewhere.request(asked)).toMatchObject({ id, status: 'approved' })
  expect((await approvals.request({ ...asked, run: 'another' })).id).not.toBe(id)
  expect((await approvals.request({ ...asked, tenant: 'globex' })).id).not.toBe(id)
})

test('deciding twice the same way is one decision; the other way is refused with who decided', async () => {
  const { id } = await approvals.request(question())
  const first = await approve(id)
  expect(await approve(id, 'user:grace')).toEqual(first)
  await expect(approvals.decide({ tenant: 'acme', id, approve: false, by: 'user:grace' })).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/approved by user:ada/),
  })
  expect(await kinds(id)).toEqual(['approval.requested', 'approval.approved'])
})

test('of many who decide at once, in two processes, one decides', async () => {
  const { id } = await approvals.request(question())
  const outcomes = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) =>
      (index % 3 ? approvals : elsewhere).decide({ tenant: 'acme', id, approve: index % 2 === 0, by: `user:${index}` }),
    ),
  )
  const decided = await approvals.get('acme', id)
  for (const [index, outcome] of outcomes.entries()) {
    const wasSame = (index % 2 === 0) === (decided?.status === 'approved')
    if (outcome.status === 'fulfilled') expect(outcome.value).toMatchObject({ status: decided?.status, decidedBy: decided?.decidedBy })
    else expect(outcome.reason).toMatchObject({ code: 'conflict' })
    expect(outcome.status).toBe(wasSame ? 'fulfilled' : 'rejected')
  }
  expect(await kinds(id)).toEqual(['approval.requested', `approval.${decided?.status}`])
})

test('a word counts only when it is in the ledger, and can be given again', async () => {
  const asked = question()
  journal.refuses = ({ stream }) => stream.startsWith('approval/')
  await expect(approvals.request(asked)).rejects.toMatchObject({ code: 'audit_unavailable' })
  journal.refuses = () => false
  const { id } = await approvals.request(asked)
  journal.refuses = ({ stream }) => stream.startsWith('approval/')
  await expect(approve(id)).rejects.toMatchObject({ code: 'audit_unavailable' })
  journal.refuses = () => false
  expect(await granted(id)).toEqual([])
  await approve(id)
  expect(await granted(id)).toEqual([id])
  expect(await kinds(id)).toEqual(['approval.requested', 'approval.approved'])
})

test('a decision that was recorded just before a crash stands', async () => {
  const { id } = await approvals.request(question())
  const asked = await approvals.get('acme', id)
  const payload = { ...asked, status: 'rejected', decidedAt: new Date().toISOString(), decidedBy: 'user:grace' }
  await journal.append({ tenant: 'acme', stream: `approval/${id}`, expectedSeq: 1, entries: [{ kind: 'approval.rejected', payload }] })
  await expect(approve(id)).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(/rejected by user:grace/) })
  expect(await approvals.get('acme', id)).toMatchObject({ status: 'rejected', decidedBy: 'user:grace' })
})

test('what does not exist, or belongs to another tenant, can not be decided', async () => {
  const { id } = await approvals.request(question({ tenant: 'globex' }))
  await expect(approve(id)).rejects.toMatchObject({ code: 'not_found' })
  await expect(approve('nonsense')).rejects.toMatchObject({ code: 'not_found' })
  expect(await approvals.get('acme', id)).toBeUndefined()
})

test('lists come newest first, in pages, by status and project, of one tenant', async () => {
  const made: string[] = []
  for (let count = 0; count < 7; count++) made.push((await approvals.request(question({ tenant: 'lists', project: `p${count % 2}` }))).id)
  await approvals.decide({ tenant: 'lists', id: made[0] as string, approve: true, by: 'user:ada' })
  const pages: string[][] = []
  for (let after: string | undefined; ; ) {
    const page = (await approvals.list('lists', { limit: 3, after })).map((each) => each.id)
    if (page.length === 0) break
    pages.push(page)
    after = page.at(-1)
  }
  expect(pages.map((page) => page.length)).toEqual([3, 3, 1])
  expect(new Set(pages.flat())).toEqual(new Set(made))
  expect((await approvals.list('lists', { status: 'approved' })).map((each) => each.id)).toEqual([made[0]])
  expect(await approvals.list('lists', { project: 'p1' })).toHaveLength(3)
})

async function kinds(id: string): Promise<string[]> {
  return (await journal.read('acme', `approval/${id}`)).map((entry: JournalEntry) => entry.kind)
}

/** The same value with the keys of its objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([one], [other]) => (one < other ? -1 : 1))
      .map(([key, inner]) => [key, sorted(inner)]),
  )
}
