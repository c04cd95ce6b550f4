import { SomaError } from '@soma/contracts/errors'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { person } from '../gate/testing.ts'
import type { ActionRequest } from './action-request.ts'
import { call, openTestActions } from './testing.ts'

let world: Awaited<ReturnType<typeof openTestActions>>
beforeAll(async () => {
  world = await openTestActions()
})
afterEach(() => {
  const { vendor, journal } = world
  vendor.before = async () => undefined
  vendor.after = async () => undefined
  journal.refuses = () => false
})
afterAll(() => world.close())

const madeBy = ({ key }: ActionRequest) => world.vendor.made.filter((each) => each.key === key).length
const record = (request: ActionRequest) => world.journal.read(request.principal.tenant, `action/${request.key}`)
const kinds = async (request: ActionRequest) => (await record(request)).map((entry) => entry.kind)
const perform = (request: ActionRequest) => world.performAction(request)
/** The next attempt, by a process that knows only what is in the database. */
const again = (request: ActionRequest, more: Partial<ActionRequest> = {}) => world.restarted()({ ...request, mayExist: true, ...more })
/** Somebody else than who calls, unless it is said who. */
const answer = (id: string, approve: boolean, reason?: string) =>
  world.approvals.answer({ tenant: 'acme', id, approve, by: person({ id: 'user:grace' }), reason })

/** Performs the call up to its effect; then the process dies before the outcome is written. */
async function crashAfterEffect(request: ActionRequest): Promise<void> {
  world.journal.refuses = ({ stream, entries }) => stream === `action/${request.key}` && entries[0]?.kind !== 'action.intended'
  await expect(perform(request)).rejects.toMatchObject({ code: 'audit_unavailable' })
  world.journal.refuses = () => false
}

/** The process dies when the intent is on disk and the call was not begun. */
async function crashBeforeEffect(request: ActionRequest): Promise<void> {
  const payload = { operation: request.operation, input: { text: 'x', times: 1 }, context: {} }
  await world.journal.append({
    tenant: request.principal.tenant,
    stream: `action/${request.key}`,
    expectedSeq: 0,
    entries: [{ kind: 'action.intended', payload }],
  })
}

test('a write is intended, done and completed, in this order, and the record says all of it', async () => {
  const request = call('demo.none', { context: { run: 'r1', labels: ['from-brief'] } })
  let before: string[] = []
  world.vendor.before = async () => {
    before = await kinds(request)
  }
  const outcome = await perform(request)
  expect(before).toEqual(['action.intended'])
  expect(outcome).toEqual({ output: { made: 'x' }, labels: ['from-brief'], spent: { calls: 1, seconds: expect.any(Number) } })
  const [intended, completed] = await record(request)
  expect(intended?.payload).toMatchObject({
    operation: 'demo.none',
    input: { text: 'x', times: 1 },
    context: { run: 'r1' },
    decision: { verdict: 'allow' },
  })
  expect(completed?.payload).toMatchObject({
    operation: 'demo.none',
    output: { made: 'x' },
    decision: { verdict: 'allow' },
    spent: { calls: 1 },
  })
})

test('a read leaves one entry', async () => {
  const request = call('demo.read')
  await perform(request)
  expect(await kinds(request)).toEqual(['action.completed'])
})

test('a completed action is not done again, whoever asks with its key', async () => {
  for (const operation of ['demo.native', 'demo.marker', 'demo.none', 'demo.read']) {
    const request = call(operation)
    const first = await perform(request)
    expect(await again(request)).toEqual(first)
    // Also when the caller does not know of the first.
    expect(await world.restarted()(request)).toEqual(first)
    if (operation !== 'demo.read') expect(madeBy(request)).toBe(1)
    expect((await kinds(request)).filter((kind) => kind === 'action.completed')).toHaveLength(1)
  }
})

test('the same key at once is one call', async () => {
  const request = call('demo.none')
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => perform(request)))
  expect(madeBy(request)).toBe(1)
  expect(new Set(outcomes.map((outcome) => JSON.stringify(outcome))).size).toBe(1)
})

test('a key that is used for another operation or another input is a conflict, at once and later', async () => {
  const request = call('demo.none')
  const others = [
    { ...request, operation: 'demo.marker' },
    { ...request, input: { text: 'y' } },
  ]
  const first = perform(request)
  for (const other of others) await expect(perform(other)).rejects.toMatchObject({ code: 'conflict' })
  await first
  for (const other of others) {
    await expect(again(other)).rejects.toMatchObject({ code: 'conflict' })
    await expect(world.restarted()(other)).rejects.toMatchObject({ code: 'conflict' })
  }
  expect(madeBy(request)).toBe(1)
})

test('the same key of another tenant is another action', async () => {
  const ours = call('demo.none')
  const theirs = { ...ours, principal: person({ tenant: 'globex' }) }
  await Promise.all([perform(ours), perform(theirs)])
  expect(madeBy(ours)).toBe(2)
})

test('input that the operation does not take is refused before anything happens', async () => {
  const request = call('demo.none', { input: { text: 7, more: true } })
  await expect(perform(request)).rejects.toMatchObject({
    code: 'invalid_input',
    message: expect.stringMatching(/demo\.none does not take this input\. .*text/),
    details: { problems: [expect.stringContaining('text'), expect.stringContaining('more')] },
  })
  await expect(perform(call('demo.noen'))).rejects.toMatchObject({ code: 'unknown_tool', message: expect.stringContaining('demo.none') })
  expect(await record(request)).toEqual([])
})

// A crash, and what becomes of the effect.

test('native: after a crash the same key is sent again, and the vendor sees that it knows it', async () => {
  for (const crash of [crashBeforeEffect, crashAfterEffect]) {
    const request = call('demo.native')
    await crash(request)
    expect(await again(request)).toMatchObject({ output: { made: 'x' } })
    expect(madeBy(request)).toBe(1)
  }
})

test('marker: after a crash what was made is found and not made again', async () => {
  const request = call('demo.marker')
  await crashAfterEffect(request)
  const calls = world.vendor.calls.length
  expect(await again(request)).toMatchObject({ output: { made: 'x' } })
  expect(world.vendor.calls.slice(calls)).toEqual(['find'])
  expect(madeBy(request)).toBe(1)
  expect((await record(request)).at(-1)?.payload).toMatchObject({ found: true })
})

test('marker: after a crash before the effect nothing is found, and it is made', async () => {
  const request = call('demo.marker')
  await crashBeforeEffect(request)
  await again(request)
  expect(madeBy(request)).toBe(1)
  expect(await kinds(request)).toEqual(['action.intended', 'action.intended', 'action.completed'])
})

test('marker: when looking fails nothing is made, and the next attempt looks again', async () => {
  const request = call('demo.marker')
  await crashAfterEffect(request)
  const made = world.vendor.made
  world.vendor.made = new Proxy(made, {
    get() {
      throw new Error('503')
    },
  })
  await expect(again(request)).rejects.toMatchObject({ code: 'tool_failed', message: expect.stringContaining('503') })
  world.vendor.made = made
  await again(request)
  expect(madeBy(request)).toBe(1)
})

test('read: after a crash it is done again', async () => {
  const request = call('demo.read')
  await crashAfterEffect(request)
  expect(await again(request)).toMatchObject({ output: { made: 'x' } })
  expect(await kinds(request)).toEqual(['action.completed'])
})

test('none: after a crash a person is asked, and only their word makes it happen', async () => {
  const request = call('demo.none', { context: { run: 'r-none' } })
  await crashBeforeEffect(request)
  const refused = await again(request).catch((error) => error)
  expect(refused).toMatchObject({ code: 'approval_required', message: expect.stringMatching(/may or may not have happened/) })
  const id = refused.details.approval as string
  expect(await again(request).catch((error) => error.details.approval)).toBe(id)
  expect(madeBy(request)).toBe(0)
  expect(await world.approvals.get('acme', id)).toMatchObject({ action: 'repeat.tool.demo.none', run: 'r-none', status: 'pending' })
  await answer(id, true)
  await again(request, { context: { run: 'r-none', approvals: [id] } })
  expect(madeBy(request)).toBe(1)
})

test('none: the word of a person holds for one interruption, not for the next', async () => {
  const request = call('demo.none', { context: { run: 'r-twice' } })
  await crashBeforeEffect(request)
  const first = await again(request).catch((error) => error.details.approval)
  await answer(first, true)
  world.journal.refuses = ({ entries }) => entries[0]?.kind === 'action.completed' || entries[0]?.kind === 'action.failed'
  await expect(again(request, { context: { run: 'r-twice', approvals: [first] } })).rejects.toMatchObject({ code: 'audit_unavailable' })
  world.journal.refuses = () => false
  const refused = await again(request, { context: { run: 'r-twice', approvals: [first] } }).catch((error) => error)
  expect(refused).toMatchObject({ code: 'approval_required' })
  expect(refused.details.approval).not.toBe(first)
  expect(madeBy(request)).toBe(1)
})

test('none: a person who says that it is done ends the action without a second effect', async () => {
  const request = call('demo.none', { context: { run: 'r-done' } })
  await crashAfterEffect(request)
  const id = await again(request).catch((error) => error.details.approval)
  await answer(id, false, 'it is there')
  await expect(again(request)).rejects.toMatchObject({
    code: 'effect_undecided',
    message: expect.stringMatching(/user:grace .*it is there/),
  })
  expect(madeBy(request)).toBe(1)
})

test('an attempt that failed may have had its effect: it is settled like a crash', async () => {
  const request = call('demo.marker')
  world.vendor.after = async () => {
    throw new Error('socket hang up')
  }
  await expect(perform(request)).rejects.toMatchObject({ code: 'tool_failed', message: 'demo.marker failed: socket hang up' })
  world.vendor.after = async () => undefined
  expect(await again(request)).toMatchObject({ output: { made: 'x' } })
  expect(madeBy(request)).toBe(1)
  expect(await kinds(request)).toEqual(['action.intended', 'action.failed', 'action.completed'])
})

test('an attempt of which the tool knows that nothing happened can simply be made again', async () => {
  const request = call('demo.refused')
  for (let attempt = 1; attempt <= 2; attempt++)
    await expect(attempt === 1 ? perform(request) : again(request)).rejects.toMatchObject({
      code: 'tool_failed',
      details: { retryable: false },
    })
  expect(await kinds(request)).toEqual(['action.intended', 'action.failed', 'action.intended', 'action.failed'])
})

test('output of another shape than declared is an error, not an outcome', async () => {
  const request = call('demo.shapeless')
  await expect(perform(request)).rejects.toMatchObject({ code: 'tool_failed', message: expect.stringContaining('another shape') })
  expect(await kinds(request)).toEqual(['action.intended', 'action.failed'])
})

test('of two processes that are given one key, one completes it; the other hears of that or of the outcome', async () => {
  const request = call('demo.native')
  const outcomes = await Promise.allSettled([world.restarted()(request), world.restarted()(request)])
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') expect(outcome.value.output).toEqual({ made: 'x' })
    else expect(outcome.reason).toMatchObject({ code: 'stream_conflict' })
  }
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true)
  expect(madeBy(request)).toBe(1)
  expect((await kinds(request)).filter((kind) => kind === 'action.completed')).toHaveLength(1)
})

// The gate on the road.

test('what policy or capability denies does not happen, and the refusal is on record', async () => {
  const denied = call('forbidden.none')
  await expect(perform(denied)).rejects.toMatchObject({ code: 'policy_denied' })
  const powerless = call('demo.none', { principal: person({ capabilities: ['tool.demo.read'] }) })
  await expect(perform(powerless)).rejects.toMatchObject({ code: 'forbidden' })
  for (const request of [denied, powerless]) {
    expect(madeBy(request)).toBe(0)
    expect((await record(request)).map((entry) => [entry.kind, (entry.payload as { error: { code: string } }).error.code])).toEqual([
      ['action.refused', request === denied ? 'policy_denied' : 'forbidden'],
    ])
  }
})

test('what needs approval asks for it, and happens once a person approved exactly this', async () => {
  const request = call('asked.none', { context: { run: 'r-ask', project: 'p', deliverable: 'd' } })
  const refused = await perform(request).catch((error) => error)
  expect(refused).toMatchObject({ code: 'approval_required', details: { reasons: [{ rule: 'ask' }], approval: expect.any(String) } })
  const id = refused.details.approval as string
  expect(await world.approvals.get('acme', id)).toMatchObject({
    action: 'tool.asked.none',
    arguments: { text: 'x', times: 1 },
    run: 'r-ask',
    project: 'p',
    deliverable: 'd',
  })
  await expect(again(request, { context: { run: 'r-ask', approvals: [id] } })).rejects.toMatchObject({ code: 'approval_required' })
  await answer(id, true)
  const changed = call('asked.none', { input: { text: 'y' }, context: { run: 'r-ask', approvals: [id] } })
  await expect(perform(changed)).rejects.toMatchObject({ code: 'approval_required' })
  await again(request, { context: { run: 'r-ask', approvals: [id] } })
  expect([madeBy(request), madeBy(changed)]).toEqual([1, 0])
  expect(await kinds(request)).toEqual(['action.refused', 'action.refused', 'action.intended', 'action.completed'])
})

test('an approval is used by one action: another asks anew, and the same goes on after a crash', async () => {
  const request = call('asked.none', { context: { run: 'r-once' }, place: 'step' })
  const id = await perform(request).catch((error) => error.details.approval)
  await answer(id, true)
  const context = { run: 'r-once', approvals: [id] }
  await crashAfterEffect({ ...request, context })
  expect(await world.approvals.get('acme', id)).toMatchObject({ usedFor: request.key })
  const other = { ...call('asked.none', { context }), place: 'step' }
  const refused = await perform(other).catch((error) => error)
  expect(refused).toMatchObject({ code: 'approval_required' })
  expect(refused.details.approval).not.toBe(id)
  // Whether it happened is another question; that it may is answered.
  const repeat = await again(request, { context }).catch((error) => error.details.approval)
  expect(await world.approvals.get('acme', repeat)).toMatchObject({ action: 'repeat.tool.asked.none' })
  expect([madeBy(request), madeBy(other)]).toEqual([1, 0])
})

test('of several actions that go ahead on one approval at once, in two processes, one does', async () => {
  const first = call('asked.none', { context: { run: 'r-race' }, place: 'step' })
  const id = await perform(first).catch((error) => error.details.approval)
  await answer(id, true)
  const racing = Array.from({ length: 6 }, () => call('asked.none', { context: { run: 'r-race', approvals: [id] }, place: 'step' }))
  const outcomes = await Promise.allSettled(racing.map((request, index) => (index % 2 ? world.restarted() : world.performAction)(request)))
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'approval_required' })
  expect(racing.reduce((sum, request) => sum + madeBy(request), 0)).toBe(1)
})

test('an approval stays unused when its action could not begin', async () => {
  const request = call('asked.none', { context: { run: 'r-unused' } })
  const id = await perform(request).catch((error) => error.details.approval)
  await answer(id, true)
  world.journal.refuses = ({ entries }) => entries[0]?.kind === 'action.intended'
  await expect(again(request, { context: { run: 'r-unused', approvals: [id] } })).rejects.toMatchObject({ code: 'audit_unavailable' })
  world.journal.refuses = () => false
  expect((await world.approvals.get('acme', id))?.usedFor).toBeUndefined()
  await again(request, { context: { run: 'r-unused', approvals: [id] } })
  expect(madeBy(request)).toBe(1)
})

test('the one who calls does not approve it', async () => {
  const id = await perform(call('asked.none')).catch((error) => error.details.approval)
  const own = world.approvals.answer({ tenant: 'acme', id, approve: true, by: person() })
  await expect(own).rejects.toMatchObject({ code: 'forbidden', message: expect.stringMatching(/user:ada asked for this/) })
})

test('an approval that was given while nobody waited counts, and a rejection says who said no', async () => {
  const [yes, no] = [call('asked.none', { context: { run: 'r-yes' } }), call('asked.none', { context: { run: 'r-no' } })]
  for (const [request, approve] of [
    [yes, true],
    [no, false],
  ] as const) {
    const id = await perform(request).catch((error) => error.details.approval)
    await answer(id, approve, 'I looked')
  }
  await again(yes)
  await expect(again(no)).rejects.toMatchObject({ code: 'policy_denied', message: expect.stringMatching(/user:grace rejected .*I looked/) })
  expect([madeBy(yes), madeBy(no)]).toEqual([1, 0])
})

test('when the intent can not be written the call is not made', async () => {
  const request = call('demo.none')
  world.journal.refuses = ({ entries }) => entries[0]?.kind === 'action.intended'
  await expect(perform(request)).rejects.toMatchObject({ code: 'audit_unavailable' })
  expect(madeBy(request)).toBe(0)
  world.journal.refuses = () => false
  await again(request)
  expect(madeBy(request)).toBe(1)
})

test('a killed action is held and goes on without loss when the switch is lifted', async () => {
  const request = call('demo.none', { context: { run: 'r-killed' } })
  const messages: string[] = []
  const { id } = await world.kill.pull({ tenant: 'acme', scope: 'run', target: 'r-killed', reason: 'wait', by: 'user:ada' })
  const held = perform({ ...request, onProgress: (message) => messages.push(message) })
  await expect.poll(() => kinds(request)).toEqual(['action.held'])
  expect(messages).toEqual(['held by kill switch: wait'])
  expect(madeBy(request)).toBe(0)
  await world.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
  await held
  expect(madeBy(request)).toBe(1)
  expect(await kinds(request)).toEqual(['action.held', 'action.intended', 'action.completed'])
})

test('a held action ends when its caller gives it up', async () => {
  const request = call('demo.none', { context: { run: 'r-gone' } })
  const caller = new AbortController()
  const { id } = await world.kill.pull({ tenant: 'acme', scope: 'run', target: 'r-gone', reason: 'wait', by: 'user:ada' })
  const held = perform({ ...request, signal: caller.signal })
  await expect.poll(() => kinds(request)).toEqual(['action.held'])
  caller.abort()
  await expect(held).rejects.toMatchObject({ code: 'cancelled' })
  expect(madeBy(request)).toBe(0)
  await world.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
})

/** Lets the vendor hang in its calls until it is told to go on, or the signal that it heeds aborts. */
function hang(): { isReached: () => boolean; goOn: () => void } {
  let isReached = false
  let goOn = () => {}
  const released = new Promise<void>((resolve) => {
    goOn = resolve
  })
  world.vendor.before = (signal) => {
    isReached = true
    return Promise.race([released, new Promise<void>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))])
  }
  return { isReached: () => isReached, goOn }
}

const pullOn = (run: string) => world.kill.pull({ tenant: 'acme', scope: 'run', target: run, reason: 'wait', by: 'user:ada' })

test.each([
  ['demo.read', ['action.interrupted', 'action.held', 'action.completed'], ['demo.read', 'demo.read']],
  [
    'demo.endable',
    ['action.intended', 'action.interrupted', 'action.held', 'action.intended', 'action.completed'],
    ['demo.endable', 'find', 'demo.endable'],
  ],
])('a call of %s that is under way is ended by a kill switch, and made again when that is lifted', async (operation, expected, calls) => {
  const request = call(operation, { context: { run: `r-under-way-${operation}` } })
  const before = world.vendor.calls.length
  const { isReached } = hang()
  const performing = perform(request)
  await expect.poll(isReached).toBe(true)
  const { id } = await pullOn(request.context.run as string)
  await expect.poll(() => kinds(request)).toContain('action.held')
  expect(madeBy(request)).toBe(0)
  world.vendor.before = async () => undefined
  await world.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
  expect(await performing).toMatchObject({ output: { made: 'x' } })
  expect(madeBy(request)).toBe(1)
  expect(await kinds(request)).toEqual(expected)
  expect((await record(request)).find(({ kind }) => kind === 'action.interrupted')?.payload).toMatchObject({
    killSwitch: id,
    reason: 'wait',
  })
  expect(world.vendor.calls.slice(before)).toEqual(calls)
})

test('a call that can not be ended comes to its end, and the record says that it was after the switch', async () => {
  const request = call('demo.none', { context: { run: 'r-to-its-end' } })
  const { isReached, goOn } = hang()
  const performing = perform(request)
  await expect.poll(isReached).toBe(true)
  const { id } = await pullOn('r-to-its-end')
  goOn()
  await performing
  expect((await record(request)).at(-1)).toMatchObject({ kind: 'action.completed', payload: { afterKillSwitch: id } })
  await world.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
})

test('who does not want to wait is refused, before the call and in its midst, and may ask again', async () => {
  const request = call('demo.read', { context: { run: 'r-refused' }, whenKilled: 'refuse' })
  const { isReached } = hang()
  const performing = perform(request)
  await expect.poll(isReached).toBe(true)
  const { id } = await pullOn('r-refused')
  await expect(performing).rejects.toMatchObject({ code: 'killed', details: { killSwitch: id } })
  await expect(again(request)).rejects.toMatchObject({ code: 'killed', details: { killSwitch: id } })
  expect(await kinds(request)).toEqual(['action.interrupted', 'action.refused'])
  world.vendor.before = async () => undefined
  await world.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
  expect(await again(request)).toMatchObject({ output: { made: 'x' } })
})

test('a switch that is pulled between the gate and the call keeps the call from beginning', async () => {
  const request = call('demo.none', { context: { run: 'r-between' }, budgets: ['between'] })
  await world.budgets.open('acme', 'between', { calls: 5 })
  const reserve = world.budgets.reserve
  let id = ''
  world.budgets.reserve = async (reservation) => {
    await reserve(reservation)
    world.budgets.reserve = reserve
    id = (await pullOn('r-between')).id
  }
  const performing = perform(request)
  await expect.poll(() => kinds(request)).toEqual(['action.held'])
  expect(madeBy(request)).toBe(0)
  await world.kill.lift({ tenant: 'acme', id, by: 'user:ada' })
  await performing
  expect(madeBy(request)).toBe(1)
  expect((await world.budgets.state('acme', 'between'))?.spent).toMatchObject({ calls: 1 })
})

test('a drill says which calls under way it would have met, and lets them be', async () => {
  const [read, write] = [call('demo.read', { context: { run: 'r-drill' } }), call('demo.none', { context: { run: 'r-drill.child' } })]
  const { isReached, goOn } = hang()
  const performing = [perform(read), perform(write)]
  await expect.poll(isReached).toBe(true)
  await expect.poll(() => kinds(write)).toEqual(['action.intended'])
  const report = await world.kill.drill({ tenant: 'acme', scope: 'run', target: 'r-drill', reason: 'practice', by: 'user:ada' })
  expect(report.ended).toEqual([{ operation: 'demo.read', key: read.key, run: 'r-drill', canBeEnded: true }])
  expect(report.finished).toEqual([{ operation: 'demo.none', key: write.key, run: 'r-drill.child', canBeEnded: false }])
  goOn()
  await Promise.all(performing)
  expect((await record(write)).at(-1)?.payload).not.toHaveProperty('afterKillSwitch')
  expect(await kinds(read)).toEqual(['action.completed'])
})

// Budgets, time and labels.

test('a budget that is used up refuses the action, on record, and nothing is lost from it', async () => {
  await world.budgets.open('acme', 'two', { calls: 2 })
  const requests = [1, 2, 3].map(() => call('demo.none', { budgets: ['two'] }))
  const outcomes = await Promise.allSettled(requests.map(perform))
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
  const refused = requests[outcomes.findIndex(({ status }) => status === 'rejected')] as ActionRequest
  expect((await record(refused)).map((entry) => entry.kind)).toEqual(['action.refused'])
  expect(await world.budgets.state('acme', 'two')).toMatchObject({ reserved: { calls: 0 }, spent: { calls: 2 } })
  await world.budgets.open('acme', 'two', { calls: 3 })
  await again(refused)
  expect(madeBy(refused)).toBe(1)
})

test('time that was used up is not used again', async () => {
  await world.budgets.open('acme', 'time', { seconds: 0.02 })
  world.vendor.after = () => new Promise((resolve) => setTimeout(resolve, 30))
  await perform(call('demo.none', { budgets: ['time'] }))
  await expect(perform(call('demo.none', { budgets: ['time'] }))).rejects.toMatchObject({ code: 'budget_exceeded' })
})

test('a failed attempt is charged, a refused one is not, and neither leaves anything reserved', async () => {
  await world.budgets.open('acme', 'failing', { calls: 10 })
  world.vendor.before = async () => {
    throw new Error('no')
  }
  await expect(perform(call('demo.none', { budgets: ['failing'] }))).rejects.toMatchObject({ code: 'tool_failed' })
  await expect(perform(call('forbidden.none', { budgets: ['failing'] }))).rejects.toMatchObject({ code: 'policy_denied' })
  world.journal.refuses = ({ entries }) => entries[0]?.kind === 'action.intended'
  await expect(perform(call('demo.none', { budgets: ['failing'] }))).rejects.toMatchObject({ code: 'audit_unavailable' })
  expect(await world.budgets.state('acme', 'failing')).toMatchObject({ reserved: { calls: 0, seconds: 0 }, spent: { calls: 1 } })
})

test('a call that does not answer is ended, whether or not it heeds the signal', async () => {
  for (const heeds of [true, false]) {
    const request = call('demo.quick')
    let seen: AbortSignal | undefined
    world.vendor.before = (signal) =>
      new Promise((_, reject) => {
        seen = signal
        if (heeds) signal.addEventListener('abort', () => reject(new Error('aborted')))
      })
    await expect(perform(request)).rejects.toMatchObject({ code: 'tool_timeout', message: expect.stringContaining('0.05 seconds') })
    expect(seen?.aborted).toBe(true)
    // Whether it happened is not known.
    expect((await record(request)).map((entry) => (entry.payload as { happened?: boolean }).happened)).toEqual([undefined, undefined])
    await expect(again(request)).rejects.toMatchObject({ code: 'approval_required' })
  }
})

test('a caller that gives up ends the call; one that gave up before never begins it', async () => {
  const request = call('demo.none')
  const caller = new AbortController()
  world.vendor.before = () => new Promise(() => caller.abort(new SomaError('cancelled', 'The run was cancelled.')))
  await expect(perform({ ...request, signal: caller.signal })).rejects.toMatchObject({
    code: 'cancelled',
    message: 'The run was cancelled.',
  })
  const late = call('demo.none', { signal: AbortSignal.abort() })
  await expect(perform(late)).rejects.toMatchObject({ code: 'cancelled' })
  expect(await kinds(late)).toEqual([])
})

test('what comes from outside is labelled untrusted, on top of the labels that led to it', async () => {
  expect((await perform(call('demo.outside', { context: { labels: ['a'] } }))).labels).toEqual(['a', 'untrusted'])
  expect((await perform(call('demo.outside', { context: { labels: ['untrusted'] } }))).labels).toEqual(['untrusted'])
  expect((await perform(call('demo.read'))).labels).toEqual([])
})

test('an action costs little more than the appends it needs', async () => {
  const time = async (work: (index: number) => Promise<unknown>) => {
    const times: number[] = []
    for (let index = 0; index < 200; index++) {
      const start = performance.now()
      await work(index)
      times.push(performance.now() - start)
    }
    return times.toSorted((one, other) => one - other)[100] as number
  }
  await world.budgets.open('acme', 'timed', { calls: 100_000 })
  const stream = 'bare'
  const append = await time((expectedSeq) =>
    world.journal.append({ tenant: 'acme', stream, expectedSeq, entries: [{ kind: 'note', payload: { text: 'x' } }] }),
  )
  const read = await time(() => perform(call('demo.read', { budgets: ['timed'] })))
  const write = await time(() => perform(call('demo.marker', { budgets: ['timed'] })))
  const shown = `median of 200: append ${append.toFixed(2)} ms, read ${read.toFixed(2)} ms, write ${write.toFixed(2)} ms`
  process.stdout.write(`${shown}\n`)
  // A read reserves, settles and appends; a write appends once more.
  expect(read, shown).toBeLessThan(append * 8 + 5)
  expect(write, shown).toBeLessThan(append * 10 + 5)
})
