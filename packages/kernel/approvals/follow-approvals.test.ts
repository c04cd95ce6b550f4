import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ApprovalChange } from './follow-approvals.ts'
import { approve, openTestApprovals, question } from './testing.ts'

let world: Awaited<ReturnType<typeof openTestApprovals>>
beforeAll(async () => {
  world = await openTestApprovals()
})
afterAll(() => world.close())

const ask = async () => (await world.approvals.ask(question())).approval

/** Follows until it is stopped; keeps what it was given. */
function follow(name: string, from = world.approvals, before: (change: ApprovalChange) => void = () => undefined) {
  const heard: ApprovalChange[] = []
  const stop = from.follow(name, async (change) => {
    before(change)
    heard.push(change)
  })
  return {
    stop,
    of: (id: string) => heard.filter(({ approval }) => approval.id === id).map(({ kind, approval }) => [kind, approval.status]),
  }
}
/** A follower begins where the journal is at its first look. */
async function begun(name: string) {
  const { rows } = await world.sql.platform.query('select 1 from approvals.followers where name = $1', [name])
  return rows.length
}

test('a follower is given every change in order, with the approval as it was then, from whatever process it came', async () => {
  const follower = follow('one')
  await expect.poll(() => begun('one')).toBe(1)
  const approval = await ask()
  await approve(world.elsewhere, approval)
  await expect
    .poll(() => follower.of(approval.id))
    .toEqual([
      ['approval.requested', 'pending'],
      ['approval.approved', 'approved'],
    ])
  await follower.stop()
})

test('it goes on where it was, and a change whose handling failed comes again before any other', async () => {
  const first = follow('two')
  await expect.poll(() => begun('two')).toBe(1)
  await first.stop()
  const [one, other] = [await ask(), await ask()]
  let failures = 0
  const second = follow('two', world.elsewhere, ({ approval }) => {
    if (approval.id === one.id && failures++ === 0) throw new Error('away')
  })
  await expect.poll(() => second.of(other.id), { timeout: 10_000 }).toHaveLength(1)
  expect(second.of(one.id)).toHaveLength(1)
  expect(failures).toBe(2)
  await second.stop()
  const third = follow('two')
  const next = await ask()
  await expect.poll(() => third.of(next.id)).toHaveLength(1)
  expect([...third.of(one.id), ...third.of(other.id)]).toEqual([])
  await third.stop()
})

test('what a crash left out of the list is brought into it', async () => {
  const before = follow('three')
  await expect.poll(() => begun('three')).toBe(1)
  await before.stop()
  const approval = await ask()
  const word = { by: 'user:grace', approve: true, at: new Date().toISOString() }
  await world.journal.append({
    tenant: 'acme',
    stream: `approval/${approval.id}`,
    expectedSeq: 1,
    entries: [{ kind: 'approval.approved', payload: { word, expiresAt: approval.expiresAt } }],
  })
  const status = async () => (await world.approvals.list('acme', { run: approval.run }))[0]?.status
  expect(await status()).toBe('pending')
  const follower = follow('three')
  await expect.poll(status, { timeout: 10_000 }).toBe('approved')
  await follower.stop()
})
