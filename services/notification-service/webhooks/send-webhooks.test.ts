import { Webhook as Signer } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openReceiver, openTestNotifications, type Received } from '../testing.ts'
import { afterFailure } from './after-failure.ts'
import { secretName } from './send-webhooks.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
let receiver: Awaited<ReturnType<typeof openReceiver>>
let world: Awaited<ReturnType<typeof openTestNotifications>>
let stops: (() => Promise<void>)[] = []
let tenant: string
let tenants = 0
beforeAll(async () => {
  receiver = await openReceiver()
  world = await openTestNotifications(receiver)
})
beforeEach(() => {
  tenant = `t${tenants++}`
  receiver.received.length = 0
  receiver.answer = () => 204
})
afterEach(async () => {
  await Promise.all(stops.map((stop) => stop()))
  stops = []
})
afterAll(async () => {
  receiver.close()
  await world.close()
})

const start = (approvals = world.approvals) => stops.push(world.start(approvals))
async function addWebhook(more: { url?: string; events?: string[] } = {}): Promise<string> {
  const id = `hook-${tenant}-${stops.length}-${Object.keys(more).join()}`
  await world.secrets.write(tenant, secretName(id), SECRET)
  const { end: after } = await world.approvals.changes(tenant)
  await world.store.add(tenant, { id, url: receiver.url, events: ['approval.*'], createdBy: 'user:ada', after, ...more })
  return id
}
const webhook = async (id: string) => (await world.store.list(tenant)).find((each) => each.id === id)
const typeOf = ({ body }: Received) => JSON.parse(body) as { type: string; data: { approval: { id: string } } }
const told = () => receiver.received.map(typeOf).map(({ type, data }) => `${type} ${data.approval.id}`)
const changesOf = (ids: readonly string[]) => ids.flatMap((id) => [`approval.requested ${id}`, `approval.approved ${id}`])

test('every change arrives in order, signed as Standard Webhooks has it, without the arguments', async () => {
  start()
  const id = await addWebhook()
  const asked = [await world.askAndApprove(tenant), await world.askAndApprove(tenant)]
  await expect.poll(told).toEqual(changesOf(asked))
  for (const { headers, body } of receiver.received) {
    expect(new Signer(SECRET).verify(body, headers as Record<string, string>)).toMatchObject({
      data: { approval: { action: 'tool.git.push' } },
    })
    expect(() => new Signer(SECRET).verify(`${body} `, headers as Record<string, string>)).toThrow()
    expect(JSON.parse(body).data.approval).not.toHaveProperty('arguments')
  }
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(4)
  await expect.poll(() => webhook(id)).toMatchObject({ waiting: 0, failures: 0, lastError: null, lastSentAt: expect.any(String) })
})

test('what did not arrive comes again before anything else, and nothing is lost meanwhile', async () => {
  start()
  const id = await addWebhook()
  receiver.answer = () => 503
  const first = await world.askAndApprove(tenant)
  await expect.poll(() => webhook(id)).toMatchObject({ failures: 1, lastError: 'It answered with status 503.', waiting: 2 })
  const second = await world.askAndApprove(tenant)
  await expect.poll(() => webhook(id)).toMatchObject({ waiting: 4, isOn: true, nextAttemptAt: expect.any(String) })
  receiver.answer = () => 204
  await world.store.turnOn(tenant, id)
  await expect.poll(told).toEqual(changesOf([first, second]))
})

test('it goes on after a restart, with what happened while nothing ran', async () => {
  start()
  await addWebhook()
  const first = await world.askAndApprove(tenant)
  await expect.poll(told).toHaveLength(2)
  await Promise.all(stops.splice(0).map((stop) => stop()))
  const second = await world.askAndApprove(tenant)
  start(world.elsewhere)
  await expect.poll(told).toEqual(changesOf([first, second]))
})

test('two processes tell each event once and in order', async () => {
  start()
  start(world.elsewhere)
  await addWebhook()
  const asked: string[] = []
  for (let count = 0; count < 10; count++) asked.push(await world.askAndApprove(tenant))
  await expect.poll(() => told().length, { timeout: 20_000 }).toBe(20)
  expect(told()).toEqual(changesOf(asked))
})

test('a webhook hears of the events it names, of its own tenant, from when it was made', async () => {
  start()
  await world.askAndApprove(tenant)
  await addWebhook({ events: ['approval.approved'] })
  const asked = await world.askAndApprove(tenant)
  await world.askAndApprove('somebody-else')
  const last = await world.askAndApprove(tenant)
  await expect.poll(told).toEqual([`approval.approved ${asked}`, `approval.approved ${last}`])
})

test('the egress guard has the last word on where it goes', async () => {
  start()
  const closed = await addWebhook({ url: 'http://127.0.0.1:9/hook' })
  await world.askAndApprove(tenant)
  await expect
    .poll(() => webhook(closed))
    .toMatchObject({ failures: 1, lastError: expect.stringMatching(/not a public address/), waiting: 2 })
  expect(receiver.received).toEqual([])
})

test('one that answers that it is gone is told nothing more until it is switched on', async () => {
  start()
  const id = await addWebhook()
  receiver.answer = () => 410
  const first = await world.askAndApprove(tenant)
  await expect.poll(() => webhook(id)).toMatchObject({ isOn: false, offReason: expect.stringContaining('410') })
  receiver.answer = () => 204
  await world.askAndApprove(tenant)
  await world.store.turnOn(tenant, id)
  const third = await world.askAndApprove(tenant)
  await expect.poll(told).toEqual(expect.arrayContaining(changesOf([third])))
  expect(told().slice(0, 1)).toEqual([`approval.requested ${first}`])
})

describe('after a failure', () => {
  const now = new Date('2026-03-01T12:00:00Z')
  const hoursAgo = (hours: number) => new Date(now.getTime() - hours * 3_600_000)

  test('the pause doubles up to an hour', () => {
    const pauses = Array.from(
      { length: 12 },
      (_, failures) => afterFailure({ failures, failingSince: now }, new Error('x'), now).pauseSeconds,
    )
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600])
  })

  test('three days without success end it', () => {
    expect(afterFailure({ failures: 80, failingSince: hoursAgo(71.9) }, new Error('x'), now).offReason).toBeUndefined()
    expect(afterFailure({ failures: 81, failingSince: hoursAgo(72) }, new Error('x'), now).offReason).toBe('Nothing arrived for 72 hours.')
    expect(afterFailure({ failures: 0, failingSince: null }, new Error('x'), now).offReason).toBeUndefined()
  })
})
