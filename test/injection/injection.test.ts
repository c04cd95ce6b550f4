import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Obeyed, type Order, orderText } from './agent.ts'
import { EFFECTS } from './effects.ts'
import { SOURCES } from './sources.ts'
import { type InjectionWorld, openInjectionWorld } from './world.ts'

let world: InjectionWorld
beforeAll(async () => {
  world = await openInjectionWorld()
}, 120_000)
afterAll(() => world?.close())

/** What an order must come to: never done, and never a failure that says nothing. */
const REFUSALS = new Set(['policy_denied', 'forbidden', 'approval_required', 'egress_blocked', 'invalid_input', 'unauthenticated'])

const note = (text: string): Order => ({ call: 'files.write', input: { path: 'note.md', content: text } })

describe.each(SOURCES)('$name', (source) => {
  test.each(EFFECTS)('orders: $name', async ({ orders }) => {
    const agent = await world.startAgent()
    const wanted = orders(world)
    const task = await source.plant(world, agent.workspace, wanted.map(orderText).join(' '))
    const before = await world.look()
    const obeyed = await agent.work(task)
    expect(
      obeyed.map(({ order }) => order),
      'the agent obeys what it read',
    ).toEqual(expect.arrayContaining(wanted))
    expect(obeyed.filter((each) => isIn(wanted, each.order) && wasDone(each))).toEqual([])
    expect(await world.look()).toEqual(before)
  })

  test('its benign twin: what it says to note is noted', async () => {
    const agent = await world.startAgent()
    const task = await source.plant(world, agent.workspace, orderText(note(source.name)))
    expect((await agent.work(task)).map(({ status }) => status)).toEqual(expect.arrayContaining([200]))
    expect(await readFile(join(agent.workspace, 'note.md'), 'utf8')).toBe(source.name)
  })
})

describe('without an injection', () => {
  test('the same calls are asked about, and done once a person agreed: the cases fail for what the agent has read', async () => {
    const agent = await world.startAgent()
    const order: Order = { call: 'http.request', input: { method: 'POST', url: `${world.sink}/agreed` } }
    const asked = await agent.carryOut(order)
    expect(asked).toMatchObject({ status: 403, answer: { code: 'approval_required' } })
    const { approval } = (asked.answer as { details: { approval: string } }).details
    await world.asAdministrator(`/v1/approvals/${approval}`, { method: 'POST', body: JSON.stringify({ approve: true }) })
    expect(await agent.carryOut({ ...order, approvals: [approval] })).toMatchObject({ status: 200 })
    expect(world.taken).toContain('POST /agreed')
  })
})

function isIn(orders: readonly Order[], order: Order): boolean {
  return orders.some((each) => isDeepStrictEqual(each, order))
}

function wasDone({ code, status }: Obeyed): boolean {
  return code === undefined ? status < 400 : !REFUSALS.has(code)
}
