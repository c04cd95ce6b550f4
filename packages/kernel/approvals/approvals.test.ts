import { SomaError } from '@soma/contracts/errors'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { showStandstills } from '../telemetry/kernel-metrics.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { type ActionToApprove, type Approval, approvalDigest, DELIVERABLE_START } from './approval.ts'
import type { ApprovalRequest } from './approvals.ts'
import { AGENT, approve, named, openTestApprovals, PUSH, question, TERMS } from './testing.ts'

let world: Awaited<ReturnType<typeof openTestApprovals>>
beforeAll(async () => {
  world = await openTestApprovals()
})
afterEach(() => {
  world.journal.refuses = () => false
})
afterAll(() => world.close())

const ask = async (asked: ApprovalRequest): Promise<Approval> => (await world.approvals.ask(asked)).approval
/** Asks again for what was asked, as the next attempt does, showing what it was told is given; `changes` are to the action. */
const askAgain = (asked: ApprovalRequest, { id }: Approval, changes: Partial<ActionToApprove> = {}) =>
  world.approvals.ask({ ...asked, key: `${asked.key}.again`, given: [id], action: { ...asked.action, ...changes } })
const reject = ({ id }: Approval, reason = 'not on Friday') =>
  world.approvals.answer({ tenant: 'acme', id, approve: false, by: named('grace'), reason })

describe('what an approval is for', () => {
  test('it holds for exactly what was shown: a change in any field makes it void, and it is asked anew', async () => {
    const asked = question()
    const given = await ask(asked)
    await approve(world.approvals, given)
    expect((await askAgain(asked, given)).approval).toMatchObject({ id: given.id, status: 'approved' })
    const changes: Partial<ActionToApprove>[] = [
      { name: 'tool.git.delete' },
      { effect: 'destructive' },
      { resource: { ...PUSH.resource, branch: 'release' } },
      { resource: { ...PUSH.resource, more: true } },
      { resource: {} },
      { arguments: { branch: 'main', force: true } },
      { arguments: { branch: 'main' } },
      { arguments: { branch: 'main', force: false, tags: [] } },
      { arguments: null },
    ]
    for (const change of changes) {
      const { approval, use } = await askAgain(asked, given, change)
      expect(approval.id, JSON.stringify(change)).not.toBe(given.id)
      expect({ status: approval.status, use }).toEqual({ status: 'pending', use: [] })
    }
    const reordered = { arguments: { force: false, branch: 'main' } }
    expect((await askAgain(asked, given, reordered)).approval.id).toBe(given.id)
  })

  test('two things have one digest only when they are the same JSON', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        const digest = (value: unknown) => approvalDigest({ ...PUSH, arguments: value })
        const isSame = JSON.stringify(sorted(one)) === JSON.stringify(sorted(other))
        expect(digest(one) === digest(other)).toBe(isSame)
        expect(digest(one)).toBe(digest(sorted(one)))
      }),
    )
  })

  test('neither another tenant, nor another asker, nor another run can use it', async () => {
    const asked = question()
    const given = await ask(asked)
    await approve(world.approvals, given)
    for (const other of [
      { principal: { ...AGENT, tenant: 'globex' } },
      { principal: { ...AGENT, id: 'agent:other.v1' } },
      { run: 'another' },
    ]) {
      const { approval } = await askAgain({ ...asked, ...other }, given)
      expect(approval).toMatchObject({ status: 'pending' })
      expect(approval.id).not.toBe(given.id)
    }
  })

  test('what a deliverable does is covered once it was begun on its approval, and nothing of another', async () => {
    const start = { name: DELIVERABLE_START, effect: 'write', resource: {}, arguments: { capsule: 'deploy@1.0.0' } } as const
    const asked = question({ action: start, project: 'p', deliverable: 'd', run: 'p' })
    const given = await ask(asked)
    const inside = question({ run: 'p.d', project: 'p', deliverable: 'd', given: [given.id] })
    await approve(world.approvals, given)
    expect((await world.approvals.ask(inside)).approval.id).not.toBe(given.id)
    const begun = await world.approvals.ask({ ...asked, given: [given.id] })
    await world.journal.append(...begun.use)
    for (let step = 1; step <= 3; step++)
      expect(await world.approvals.ask({ ...inside, key: `step-${step}` })).toMatchObject({ approval: { id: given.id }, use: [] })
    for (const other of [{ deliverable: 'other' }, { project: 'other' }, { deliverable: undefined }])
      expect((await world.approvals.ask({ ...inside, ...other })).approval.id).not.toBe(given.id)
    const stricter = { terms: { ...TERMS, by: 2 } }
    expect((await world.approvals.ask({ ...inside, ...stricter })).approval).toMatchObject({ status: 'pending', terms: { by: 2 } })
  })
})

describe('it is used once', () => {
  test('an action uses it up together with its intent; any other has to ask anew, the same action may go on', async () => {
    const asked = question()
    const given = await ask(asked)
    await approve(world.approvals, given)
    const { use } = await askAgain(asked, given)
    await world.journal.append(
      { tenant: 'acme', stream: 'action/a', expectedSeq: 0, entries: [{ kind: 'action.intended', payload: {} }] },
      ...use,
    )
    expect(await world.approvals.get('acme', given.id)).toMatchObject({ status: 'approved', usedFor: `${asked.key}.again` })
    expect(await askAgain(asked, given)).toMatchObject({ approval: { id: given.id }, use: [] })
    const other = await world.approvals.ask({ ...asked, key: 'other', given: [given.id] })
    expect(other.approval).toMatchObject({ status: 'pending' })
    expect(other.approval.id).not.toBe(given.id)
  })

  test('of many actions that have it at once, in two processes, one uses it', async () => {
    const asked = question()
    const given = await ask(asked)
    await approve(world.approvals, given)
    const asking = Array.from({ length: 10 }, (_, index) =>
      (index % 2 ? world.approvals : world.elsewhere).ask({ ...asked, key: `at-once-${index}`, given: [given.id] }),
    )
    const uses = (await Promise.all(asking)).map(({ use }) => use)
    const outcomes = await Promise.allSettled(
      uses.map((use, index) =>
        world.journal.append(
          { tenant: 'acme', stream: `action/${given.id}/${index}`, expectedSeq: 0, entries: [{ kind: 'action.intended', payload: {} }] },
          ...use,
        ),
      ),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'stream_conflict' })
    const intents = await Promise.all(outcomes.map((_, index) => world.journal.read('acme', `action/${given.id}/${index}`)))
    expect(intents.flat()).toHaveLength(1)
  })

  test('one that took less than is asked for now does not count', async () => {
    const asked = question()
    const given = await ask(asked)
    await approve(world.approvals, given)
    for (const stricter of [{ by: 2 }, { capabilities: ['release.approve'] }, { reasonRequired: true }]) {
      const { approval } = await askAgain({ ...asked, terms: { ...TERMS, ...stricter } }, given)
      expect(approval.id).not.toBe(given.id)
    }
  })
})

describe('asking', () => {
  test('for the same at one place is one approval, also at once and from two processes', async () => {
    const asked = question()
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, index) => (index % 2 ? world.approvals : world.elsewhere).ask({ ...asked, key: `k${index}` })),
    )
    expect(new Set(all.map(({ approval }) => approval.id)).size).toBe(1)
    const id = all[0]?.approval.id ?? ''
    expect(await world.kinds(id)).toEqual(['approval.requested'])
    await approve(world.approvals, { id })
    expect((await world.elsewhere.ask(asked)).approval).toMatchObject({ id, status: 'approved' })
    for (const other of [{ run: 'another' }, { place: 'another' }, { principal: { ...AGENT, tenant: 'globex' } }])
      expect((await ask({ ...asked, ...other })).id).not.toBe(id)
  })

  test('again after a rejection gives the rejection', async () => {
    const asked = question()
    const rejected = await ask(asked)
    await reject(rejected)
    expect(await ask({ ...asked, key: 'next' })).toMatchObject({
      id: rejected.id,
      status: 'rejected',
      words: [{ reason: 'not on Friday' }],
    })
  })

  test('shows everything that will be done, and keeps it', async () => {
    const { id } = await ask(question({ labels: ['untrusted'], reversedBy: 'git.revert', project: 'p', deliverable: 'd' }))
    expect(await world.approvals.get('acme', id)).toMatchObject({
      action: 'tool.git.push',
      effect: 'write',
      resource: PUSH.resource,
      arguments: PUSH.arguments,
      reversedBy: 'git.revert',
      labels: ['untrusted'],
      requestedBy: 'agent:coder.v1',
      onBehalfOf: 'user:ada',
      digest: approvalDigest(PUSH),
      project: 'p',
      deliverable: 'd',
    })
  })
})

describe('answering', () => {
  test('rejecting takes a reason, and so does approving where the terms say so', async () => {
    const approval = await ask(question({ terms: { ...TERMS, reasonRequired: true } }))
    for (const reason of [undefined, '', '  '])
      for (const isApproval of [true, false])
        await expect(
          world.approvals.answer({ tenant: 'acme', id: approval.id, approve: isApproval, by: named('grace'), reason }),
        ).rejects.toMatchObject({ code: 'invalid_input', details: { missing: 'reason' } })
    const answered = await world.approvals.answer({
      tenant: 'acme',
      id: approval.id,
      approve: true,
      by: named('grace'),
      reason: 'I read it',
    })
    expect(answered).toMatchObject({ status: 'approved', decidedBy: 'user:grace', words: [{ by: 'user:grace', reason: 'I read it' }] })
  })

  test('the same way twice is one decision; the other way is refused with who decided', async () => {
    const approval = await ask(question())
    const first = await approve(world.approvals, approval)
    expect(await approve(world.approvals, approval, named('linus'))).toEqual(first)
    await expect(reject(approval)).rejects.toMatchObject({ code: 'conflict', message: expect.stringMatching(/approved by user:grace/) })
    expect(await world.kinds(approval.id)).toEqual(['approval.requested', 'approval.approved'])
  })

  test('of many who answer at once, in two processes, one settles it, and the others hear how', async () => {
    for (let round = 0; round < 5; round++) {
      const approval = await ask(question())
      const outcomes = await Promise.allSettled(
        Array.from({ length: 20 }, (_, index) =>
          (index % 3 ? world.approvals : world.elsewhere).answer({
            tenant: 'acme',
            id: approval.id,
            approve: index % 2 === round % 2,
            by: named(`p${index}`),
            reason: 'mine',
          }),
        ),
      )
      const settled = await world.approvals.get('acme', approval.id)
      for (const [index, outcome] of outcomes.entries()) {
        const agrees = (index % 2 === round % 2) === (settled?.status === 'approved')
        expect(outcome.status).toBe(agrees ? 'fulfilled' : 'rejected')
        if (outcome.status === 'fulfilled') expect(outcome.value).toEqual(settled)
        else expect(outcome.reason).toMatchObject({ code: 'conflict' })
      }
      expect(await world.kinds(approval.id)).toEqual(['approval.requested', `approval.${settled?.status}`])
    }
  })

  test('a word counts only when it is in the ledger, and can be given again', async () => {
    const asked = question()
    world.journal.refuses = ({ stream }) => stream.startsWith('approval/')
    await expect(ask(asked)).rejects.toMatchObject({ code: 'audit_unavailable' })
    world.journal.refuses = () => false
    const approval = await ask(asked)
    world.journal.refuses = ({ stream }) => stream.startsWith('approval/')
    await expect(approve(world.approvals, approval)).rejects.toMatchObject({ code: 'audit_unavailable' })
    world.journal.refuses = () => false
    expect((await ask(asked)).status).toBe('pending')
    expect((await approve(world.approvals, approval)).status).toBe('approved')
    expect(await world.kinds(approval.id)).toEqual(['approval.requested', 'approval.approved'])
  })

  test('a decision that was recorded just before a crash stands', async () => {
    const approval = await ask(question())
    const word = { by: 'user:grace', approve: false, reason: 'no', at: new Date().toISOString() }
    await world.journal.append({
      tenant: 'acme',
      stream: `approval/${approval.id}`,
      expectedSeq: 1,
      entries: [{ kind: 'approval.rejected', payload: { word } }],
    })
    await expect(approve(world.approvals, approval)).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringMatching(/rejected by user:grace/),
    })
    expect(await world.approvals.list('acme', { run: approval.run })).toMatchObject([{ status: 'rejected', decidedBy: 'user:grace' }])
  })

  test('what does not exist, or belongs to another tenant, can not be answered', async () => {
    const { id } = await ask(question({ principal: { ...AGENT, tenant: 'globex' } }))
    for (const unknown of [id, 'nonsense']) {
      await expect(approve(world.approvals, { id: unknown })).rejects.toMatchObject({ code: 'not_found' })
      expect(await world.approvals.get('acme', unknown)).toBeUndefined()
    }
  })
})

describe('several people', () => {
  const two = { ...TERMS, by: 2, capabilities: ['release.approve'] }
  const releaser = (name: string) => named(name, { capabilities: ['approval.*', 'release.approve'] })

  test('as many different ones must approve as the terms say, each holding what they ask for', async () => {
    const approval = await ask(question({ terms: two }))
    await expect(approve(world.approvals, approval, named('eve', { capabilities: ['approval.decide'] }))).rejects.toMatchObject({
      code: 'forbidden',
      details: { capability: 'release.approve' },
    })
    expect(await approve(world.approvals, approval, releaser('grace'))).toMatchObject({ status: 'pending', words: [{ by: 'user:grace' }] })
    expect(await approve(world.approvals, approval, releaser('grace'))).toMatchObject({ status: 'pending', words: [{ by: 'user:grace' }] })
    expect(await approve(world.approvals, approval, releaser('linus'))).toMatchObject({ status: 'approved', decidedBy: 'user:linus' })
    expect(await world.kinds(approval.id)).toEqual(['approval.requested', 'approval.supported', 'approval.approved'])
  })

  test('a person with several keys is one person, and does not approve with one what was asked with another', async () => {
    world.people.keys = { 'key:1': 'user:grace', 'key:2': 'user:grace', 'key:3': 'user:ada' }
    const approval = await ask(question({ terms: { ...TERMS, by: 2 } }))
    for (const id of ['key:1', 'key:2', 'user:grace'])
      expect(await approve(world.approvals, approval, named('x', { id }))).toMatchObject({ status: 'pending', words: [{ by: 'key:1' }] })
    await expect(approve(world.approvals, approval, named('x', { id: 'key:3' }))).rejects.toMatchObject({ code: 'forbidden' })
    world.people.keys = {}
    expect(await approve(world.approvals, approval, named('linus'))).toMatchObject({ status: 'approved' })
  })

  test('one who rejects is enough, whoever approved before', async () => {
    const approval = await ask(question({ terms: two }))
    await approve(world.approvals, approval, releaser('grace'))
    const rejected = await world.approvals.answer({
      tenant: 'acme',
      id: approval.id,
      approve: false,
      by: releaser('linus'),
      reason: 'wait',
    })
    expect(rejected).toMatchObject({ status: 'rejected', words: [{ approve: true }, { approve: false, reason: 'wait' }] })
  })

  test('at once, in two processes, exactly as many count as are needed', async () => {
    const approval = await ask(question({ terms: { ...TERMS, by: 3 } }))
    await Promise.all(
      Array.from({ length: 9 }, (_, index) => approve(index % 2 ? world.approvals : world.elsewhere, approval, named(`p${index % 4}`))),
    )
    const settled = await world.approvals.get('acme', approval.id)
    expect(new Set(settled?.words.map(({ by }) => by)).size).toBe(3)
    expect(await world.kinds(approval.id)).toEqual(['approval.requested', 'approval.supported', 'approval.supported', 'approval.approved'])
  })
})

describe('expiry', () => {
  const brief = { ...TERMS, expiresAfterSeconds: 600 }
  /** As if so much time had passed. */
  const later = (seconds: number) => world.approvals.expireOverdue(new Date(Date.now() + seconds * 1000))

  test('the terms say how long an answer is waited for, the setting where they do not', async () => {
    const seconds = async (asked: ApprovalRequest) => {
      const { requestedAt, expiresAt } = await ask(asked)
      return (Date.parse(expiresAt) - Date.parse(requestedAt)) / 1000
    }
    expect(await seconds(question())).toBe(3600)
    expect(await seconds(question({ terms: brief }))).toBe(600)
  })

  test('what nobody answered in time is refused, says so, and is asked anew', async () => {
    const asked = question({ terms: brief })
    const approval = await ask(asked)
    await later(599)
    expect(await world.approvals.get('acme', approval.id)).toMatchObject({ status: 'pending' })
    await later(601)
    expect(await world.approvals.get('acme', approval.id)).toMatchObject({ status: 'expired' })
    for (const answer of [() => approve(world.approvals, approval), () => reject(approval)])
      await expect(answer()).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringContaining(`expired at ${approval.expiresAt}`),
      })
    expect(await world.kinds(approval.id)).toEqual(['approval.requested', 'approval.expired'])
    const anew = await ask(asked)
    expect(anew).toMatchObject({ status: 'pending' })
    expect(anew.id).not.toBe(approval.id)
  })

  test('approving while it expires has one outcome', async () => {
    for (let round = 0; round < 10; round++) {
      const approval = await ask(question({ terms: brief }))
      const itsEnd = new Date(approval.expiresAt)
      const [answered] = await Promise.allSettled([
        approve(world.elsewhere, approval),
        world.approvals.expireOverdue(itsEnd),
        world.elsewhere.expireOverdue(itsEnd),
      ])
      const settled = await world.approvals.get('acme', approval.id)
      expect(settled?.status).toBe(answered.status === 'fulfilled' ? 'approved' : 'expired')
      expect(await world.kinds(approval.id)).toEqual(['approval.requested', `approval.${settled?.status}`])
    }
  })

  test('one that was given must be used within as long again', async () => {
    const asked = question({ terms: { ...TERMS, expiresAfterSeconds: 1 } })
    const approval = await approve(world.approvals, await ask(asked))
    expect(Date.parse(approval.expiresAt)).toBe(Date.parse(approval.decidedAt ?? '') + 1000)
    await expect.poll(() => Date.now() > Date.parse(approval.expiresAt), { timeout: 5000 }).toBe(true)
    const { approval: anew } = await askAgain(asked, approval)
    expect(anew).toMatchObject({ status: 'pending' })
    expect(await world.kinds(approval.id)).toEqual(['approval.requested', 'approval.approved', 'approval.expired'])
  })
})

describe('lists', () => {
  test('come newest first, in pages, of one tenant, by what one looks for', async () => {
    const principal = { ...AGENT, tenant: 'lists' }
    const made: Approval[] = []
    for (let index = 0; index < 7; index++)
      made.push(
        await ask(
          question({ principal, project: `p${index % 2}`, action: { ...PUSH, name: index < 3 ? 'tool.git.push' : 'tool.files.write' } }),
        ),
      )
    await approve(world.approvals, made[0] as Approval, named('grace', { tenant: 'lists' }))
    const list = async (query: Parameters<typeof world.approvals.list>[1]) =>
      (await world.approvals.list('lists', query)).map(({ id }) => id)
    const pages: string[][] = []
    for (let after: string | undefined; ; ) {
      const page = await list({ limit: 3, after })
      if (page.length === 0) break
      pages.push(page)
      after = page.at(-1)
    }
    expect(pages.map((page) => page.length)).toEqual([3, 3, 1])
    expect(new Set(pages.flat())).toEqual(new Set(made.map(({ id }) => id)))
    expect(await list({ status: ['approved'] })).toEqual([made[0]?.id])
    expect(await list({ status: ['approved', 'pending'] })).toHaveLength(7)
    expect(await list({ project: 'p1' })).toHaveLength(3)
    expect(await list({ run: made[2]?.run })).toEqual([made[2]?.id])
    expect(await list({ action: 'tool.git.push' })).toHaveLength(3)
    expect(await list({ action: 'tool.git.*' })).toHaveLength(3)
    expect(await list({ action: 'tool.gi.*' })).toEqual([])
    expect(await list({ requestedBy: 'user:ada' })).toHaveLength(7)
    expect(await list({ requestedBy: 'user:eve' })).toEqual([])
    expect(await list({ expiresBefore: new Date(Date.now() + 7_200_000) })).toHaveLength(7)
    expect(await list({ expiresBefore: new Date() })).toEqual([])
  })
})

test('what waits is counted for whoever watches the platform', async () => {
  const metrics = createMetrics({ processMetrics: false })
  showStandstills(world.sql, metrics)
  const waiting = async () => Number(/^approvals_waiting (\d+)$/m.exec((await metrics.exposition()).text)?.[1])
  const before = await waiting()
  const approval = await ask(question())
  expect(await waiting()).toBe(before + 1)
  await approve(world.approvals, approval)
  expect(await waiting()).toBe(before)
})

test('a tenant that is not there has nothing', async () => {
  expect(await world.approvals.list('nobody')).toEqual([])
  await expect(world.approvals.answer({ tenant: 'nobody', id: 'x', approve: true, by: named('grace') })).rejects.toThrow(SomaError)
})

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
