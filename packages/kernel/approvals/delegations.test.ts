import type { Principal } from '@soma/contracts/tenant'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Approval } from './approval.ts'
import { AGENT, approve, named, openTestApprovals, question, TERMS } from './testing.ts'

let world: Awaited<ReturnType<typeof openTestApprovals>>
beforeAll(async () => {
  world = await openTestApprovals()
})
afterAll(() => world.close())

const HOUR = 3_600_000
const soon = (hours: number) => new Date(Date.now() + hours * HOUR)
/** Each test in a tenant of its own, with these people. */
let tenants = 0
function peopleOf(tenant = `t${tenants++}`) {
  const boss = named('boss', { tenant, capabilities: ['approval.*', 'release.approve'] })
  const deputy = named('deputy', { tenant, capabilities: ['approval.*'] })
  const third = named('third', { tenant, capabilities: ['approval.*'] })
  return { tenant, boss, deputy, third }
}
const give = (from: Principal, to: Principal, more: { startsAt?: Date; endsAt?: Date } = {}) =>
  world.approvals.delegations.give({ from, to: to.id, startsAt: new Date(), endsAt: soon(24), reason: 'away', ...more })
const ask = async (tenant: string, more: Partial<Parameters<typeof question>[0]> = {}): Promise<Approval> =>
  (
    await world.approvals.ask(
      question({ principal: { ...AGENT, tenant }, terms: { ...TERMS, capabilities: ['release.approve'] }, ...more }),
    )
  ).approval

test('a delegate decides what the delegator could, in their name, and the ledger says both', async () => {
  const { tenant, boss, deputy } = peopleOf()
  const approval = await ask(tenant)
  await expect(approve(world.approvals, approval, deputy)).rejects.toMatchObject({
    code: 'forbidden',
    details: { capability: 'release.approve' },
  })
  const { id } = await give(boss, deputy)
  expect(await approve(world.elsewhere, approval, deputy)).toMatchObject({
    status: 'approved',
    decidedBy: 'user:deputy',
    words: [{ by: 'user:deputy', onBehalfOf: 'user:boss' }],
  })
  const entries = await world.journal.read(tenant, 'approval-delegations')
  expect(entries.map(({ kind, payload }) => [kind, (payload as { id: string }).id])).toEqual([['delegation.given', id]])
})

test('one’s own right counts first, unless it is said for whom one decides', async () => {
  const { tenant, boss, deputy } = peopleOf()
  await give(boss, deputy)
  const own = await approve(world.approvals, await ask(tenant, { terms: TERMS }), deputy)
  expect(own.words).toEqual([{ by: 'user:deputy', approve: true, at: expect.any(String) }])
  const { id } = await ask(tenant, { terms: TERMS })
  const lent = await world.approvals.answer({ tenant, id, approve: true, by: deputy, onBehalfOf: 'user:boss' })
  expect(lent.words).toMatchObject([{ by: 'user:deputy', onBehalfOf: 'user:boss' }])
  await expect(
    world.approvals.answer({ tenant, id: (await ask(tenant)).id, approve: true, by: deputy, onBehalfOf: 'user:third' }),
  ).rejects.toMatchObject({ code: 'forbidden', message: 'user:third has not delegated approvals to user:deputy for now.' })
})

test('a delegate gets no more than the delegator had, also not what that one gets later', async () => {
  const { tenant, boss, deputy } = peopleOf()
  await give({ ...boss, capabilities: ['approval.decide'] }, deputy)
  await expect(approve(world.approvals, await ask(tenant), deputy)).rejects.toMatchObject({ code: 'forbidden' })
  const limited = peopleOf()
  await give({ ...limited.boss, within: [['approval.*']] }, limited.deputy)
  await expect(approve(world.approvals, await ask(limited.tenant), limited.deputy)).rejects.toMatchObject({ code: 'forbidden' })
})

test('what the delegator has lost since, or who was shut out, is no longer lent', async () => {
  const { tenant, boss, deputy } = peopleOf()
  await give(boss, deputy)
  for (const now of [['approval.decide'], []]) {
    world.people.capabilities = { 'user:boss': now }
    await expect(approve(world.approvals, await ask(tenant), deputy)).rejects.toMatchObject({ code: 'forbidden' })
  }
  world.people.capabilities = {}
  expect(await approve(world.approvals, await ask(tenant), deputy)).toMatchObject({ status: 'approved' })
})

test('what the delegator or the delegate asked for, the delegate can not approve either', async () => {
  const { tenant, boss, deputy } = peopleOf()
  await give(boss, deputy)
  for (const onBehalfOf of ['user:boss', 'user:deputy']) {
    const approval = await ask(tenant, { principal: { ...AGENT, tenant, onBehalfOf } })
    for (const more of [{}, { onBehalfOf: 'user:boss' }])
      await expect(
        world.approvals.answer({ tenant, id: approval.id, approve: true, by: deputy, ...more }),
        `${onBehalfOf} ${JSON.stringify(more)}`,
      ).rejects.toMatchObject({ code: 'forbidden' })
  }
})

test('delegator and delegate together are one of several people', async () => {
  const { tenant, boss, deputy, third } = peopleOf()
  await give(boss, deputy)
  const approval = await ask(tenant, { terms: { ...TERMS, by: 2 } })
  const { id } = approval
  await world.approvals.answer({ tenant, id, approve: true, by: deputy, onBehalfOf: 'user:boss' })
  for (const by of [deputy, boss]) expect(await approve(world.approvals, approval, by)).toMatchObject({ status: 'pending' })
  expect(await approve(world.approvals, approval, third)).toMatchObject({ status: 'approved' })
})

test('it holds for its time, and ends at once when one of the two ends it', async () => {
  const { tenant, boss, deputy, third } = peopleOf()
  await give(boss, deputy, { startsAt: soon(1), endsAt: soon(2) })
  await expect(approve(world.approvals, await ask(tenant), deputy)).rejects.toMatchObject({ code: 'forbidden' })
  expect(await world.approvals.delegations.heldBy(tenant, ['user:deputy'], soon(1.5))).toHaveLength(1)
  expect(await world.approvals.delegations.heldBy(tenant, ['user:deputy'], soon(2.1))).toEqual([])
  const now = peopleOf()
  const { id } = await give(now.boss, now.deputy)
  await expect(world.approvals.delegations.end({ by: { ...now.third, capabilities: ['approval.decide'] }, id })).rejects.toMatchObject({
    code: 'not_found',
  })
  await expect(world.approvals.delegations.end({ by: third, id })).rejects.toMatchObject({ code: 'not_found' })
  await world.approvals.delegations.end({ by: now.deputy, id })
  await expect(approve(world.approvals, await ask(now.tenant), now.deputy)).rejects.toMatchObject({ code: 'forbidden' })
  await expect(world.approvals.delegations.end({ by: now.boss, id })).rejects.toMatchObject({ code: 'not_found' })
  expect(await world.approvals.delegations.list(now.tenant)).toEqual([])
})

test('there are no chains and no circles, also when they are made at once', async () => {
  const { tenant, boss, deputy, third } = peopleOf()
  await give(boss, deputy)
  await expect(give(deputy, third)).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining("can't be passed on"),
  })
  await expect(give(deputy, boss)).rejects.toMatchObject({ code: 'conflict' })
  await expect(give(third, boss)).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining("can't stand in") })
  await expect(give(boss, third)).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('End that first') })
  // When that is over, it may begin.
  await give(deputy, third, { startsAt: soon(25), endsAt: soon(26) })
  expect(await world.approvals.delegations.list(tenant)).toHaveLength(2)

  const circle = peopleOf()
  const { delegations: here } = world.approvals
  const { delegations: there } = world.elsewhere
  const time = { startsAt: new Date(), endsAt: soon(1), reason: 'away' }
  const outcomes = await Promise.allSettled([
    here.give({ from: circle.boss, to: 'user:deputy', ...time }),
    there.give({ from: circle.deputy, to: 'user:third', ...time }),
    there.give({ from: circle.third, to: 'user:boss', ...time }),
  ])
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})

test('only who can decide has something to delegate, to another person, for a time that holds', async () => {
  const { boss, deputy, third } = peopleOf()
  await expect(give({ ...boss, kind: 'agent' }, deputy)).rejects.toMatchObject({ code: 'forbidden' })
  await expect(give({ ...boss, capabilities: ['approval.delegate'] }, deputy)).rejects.toMatchObject({ code: 'forbidden' })
  for (const to of [boss.id, 'agent:coder', 'service:gate', 'deputy', ''])
    await expect(give(boss, { ...third, id: to }), to).rejects.toMatchObject({ code: 'invalid_input' })
  for (const endsAt of [new Date(), soon(-1), soon(24 * 91)])
    await expect(give(boss, deputy, { endsAt })).rejects.toMatchObject({ code: 'invalid_input' })
})
