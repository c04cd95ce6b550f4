import type { BudgetAmount } from '@soma/contracts/budget'
import { SomaError } from '@soma/contracts/errors'
import { openPostgres } from '@soma/ports/sql/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Budgets, openBudgets } from './budgets.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
let other: Awaited<ReturnType<typeof openPostgres>>
let here: Budgets
let there: Budgets
beforeAll(async () => {
  sql = await openTestSql()
  other = await openPostgres({ connection: sql.connection, poolSize: 10 })
  here = await openBudgets(sql)
  there = await openBudgets(other)
})
afterAll(async () => {
  await other.close()
  await sql.close()
})

let tenants = 0
const newTenant = () => `tenant-${tenants++}`

test('1,000 concurrent reservations of one call on a budget for 10 let exactly 10 through, from two processes and in two budgets', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'project', { calls: 10 })
  await here.open(tenant, 'tenant', { calls: 500 })
  const outcomes = await Promise.allSettled(
    Array.from({ length: 1000 }, (_, index) =>
      (index % 2 ? here : there).reserve({
        tenant,
        key: `call-${index}`,
        // In either order, so that a lock taken in the order given would be a deadlock.
        budgets: index % 3 ? ['project', 'tenant'] : ['tenant', 'project'],
        amount: { calls: 1 },
      }),
    ),
  )
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  expect(outcomes.length - refused.length).toBe(10)
  for (const { reason } of refused)
    expect(reason).toMatchObject({ code: 'budget_exceeded', details: { budget: 'project', left: { calls: 0 } } })
  expect(await here.state(tenant, 'project')).toMatchObject({ reserved: { calls: 10 }, spent: { calls: 0 } })
  expect(await here.state(tenant, 'tenant')).toMatchObject({ reserved: { calls: 10 }, spent: { calls: 0 } })
})

test('a reservation is taken out of every budget or out of none', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'a', { calls: 10 })
  await here.open(tenant, 'b', { tokens: 5 })
  const reserve = (tokens: number) => here.reserve({ tenant, key: 'k', budgets: ['a', 'b'], amount: { calls: 1, tokens } })
  await expect(reserve(6)).rejects.toMatchObject({ code: 'budget_exceeded', details: { budget: 'b', left: { tokens: 5 } } })
  expect(await here.state(tenant, 'a')).toMatchObject({ reserved: { calls: 0 } })
  // The refused key is free for another try.
  await reserve(5)
  expect(await here.state(tenant, 'a')).toMatchObject({ reserved: { calls: 1, tokens: 5 } })
})

test('the same key reserves once, also at once and from two processes', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'a', { calls: 100 })
  const request = { tenant, key: 'k', budgets: ['a', 'a'], amount: { calls: 3 } }
  await Promise.all(Array.from({ length: 50 }, (_, index) => (index % 2 ? here : there).reserve(request)))
  expect(await here.state(tenant, 'a')).toMatchObject({ reserved: { calls: 3 } })
  await here.settle({ tenant, key: 'k', actual: { calls: 1 } })
  await there.settle({ tenant, key: 'k', actual: { calls: 1 } })
  await here.release({ tenant, key: 'k' })
  expect(await here.state(tenant, 'a')).toMatchObject({ reserved: { calls: 0 }, spent: { calls: 1 } })
})

test('what was really spent counts, though it is more than was reserved', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'a', { costMicros: 100 })
  await here.reserve({ tenant, key: 'k', budgets: ['a'], amount: { costMicros: 60 } })
  await here.settle({ tenant, key: 'k', actual: { costMicros: 120 } })
  await expect(here.reserve({ tenant, key: 'l', budgets: ['a'], amount: { costMicros: 1 } })).rejects.toMatchObject({
    code: 'budget_exceeded',
    details: { left: { costMicros: 0 } },
  })
  // What it does not limit, it does not refuse.
  await here.reserve({ tenant, key: 'm', budgets: ['a'], amount: { calls: 1_000_000 } })
})

test('the refusal says which budget, what was asked for and what is left of it', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'project/p', { costMicros: 1_500_000, tokens: 100, calls: 3 })
  const asked = { costMicros: 2_000_000, tokens: 10 }
  await expect(here.reserve({ tenant, key: 'k', budgets: ['project/p'], amount: asked })).rejects.toThrow(
    'Budget project/p has too little left: 10 tokens, $2.0000 asked for, 100 tokens, $1.5000 left. Raise its limit or end what spends it.',
  )
})

test('a limit can be changed while the budget is used; what was spent stays', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'a', { calls: 1 })
  await here.reserve({ tenant, key: 'k1', budgets: ['a'], amount: { calls: 1 } })
  await here.settle({ tenant, key: 'k1', actual: { calls: 1 } })
  await expect(here.reserve({ tenant, key: 'k2', budgets: ['a'], amount: { calls: 1 } })).rejects.toMatchObject({ code: 'budget_exceeded' })
  await here.open(tenant, 'a', { calls: 2 })
  await here.reserve({ tenant, key: 'k2', budgets: ['a'], amount: { calls: 1 } })
  await here.open(tenant, 'a', {})
  await here.reserve({ tenant, key: 'k3', budgets: ['a'], amount: { calls: 100 } })
  expect(await here.state(tenant, 'a')).toEqual({
    id: 'a',
    limit: {},
    reserved: { tokens: 0, costMicros: 0, calls: 101, seconds: 0 },
    spent: { tokens: 0, costMicros: 0, calls: 1, seconds: 0 },
  })
})

test('a budget that does not exist does not limit, and one opened meanwhile is not credited with what it never gave', async () => {
  const tenant = newTenant()
  await here.open(tenant, 'there', { calls: 5 })
  await here.reserve({ tenant, key: 'k', budgets: ['there', 'later'], amount: { calls: 2 } })
  await here.open(tenant, 'later', { calls: 1 })
  await here.settle({ tenant, key: 'k', actual: { calls: 2 } })
  expect(await here.state(tenant, 'later')).toMatchObject({ reserved: { calls: 0 }, spent: { calls: 0 } })
  expect(await here.state(tenant, 'there')).toMatchObject({ reserved: { calls: 0 }, spent: { calls: 2 } })
  expect(await here.state(tenant, 'never')).toBeUndefined()
})

test('one tenant never spends the budget of another', async () => {
  const [ours, theirs] = [newTenant(), newTenant()]
  for (const tenant of [ours, theirs]) await here.open(tenant, 'a', { calls: 1 })
  for (const tenant of [ours, theirs]) await here.reserve({ tenant, key: 'same', budgets: ['a'], amount: { calls: 1 } })
  await here.settle({ tenant: ours, key: 'same', actual: { calls: 1 } })
  expect(await here.state(theirs, 'a')).toMatchObject({ reserved: { calls: 1 }, spent: { calls: 0 } })
  expect((await here.list(ours)).map((each) => each.id)).toEqual(['a'])
})

const BUDGETS = ['a', 'b', 'c'] as const
type BudgetName = (typeof BUDGETS)[number]
interface Step {
  do: 'reserve' | 'settle' | 'release'
  key: string
  budgets: BudgetName[]
  amount: Required<Pick<BudgetAmount, 'calls' | 'tokens'>>
  process: boolean
}
const steps = fc.array(
  fc.record<Step>({
    do: fc.constantFrom('reserve', 'reserve', 'settle', 'release'),
    key: fc.constantFrom('k1', 'k2', 'k3', 'k4', 'k5', 'k6'),
    budgets: fc.uniqueArray(fc.constantFrom(...BUDGETS), { minLength: 1 }),
    amount: fc.record({ calls: fc.nat(4), tokens: fc.nat(30) }),
    process: fc.boolean(),
  }),
  { minLength: 1, maxLength: 25 },
)
const LIMITS: Record<BudgetName, BudgetAmount> = { a: { calls: 8 }, b: { calls: 5, tokens: 60 }, c: { tokens: 40 } }

test('whatever is reserved, settled and released in whatever order, one by one: the books are those of simple arithmetic', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const tenant = newTenant()
      for (const name of BUDGETS) await here.open(tenant, name, LIMITS[name])
      const books = createBooks()
      for (const step of sequence) {
        const port = step.process ? here : there
        expect(await take(port, tenant, step)).toBe(books.take(step))
        for (const name of BUDGETS) {
          const { reserved, spent } = (await here.state(tenant, name)) ?? {}
          expect({ reserved, spent }).toMatchObject(books.state(name))
        }
      }
    }),
    { numRuns: 25 },
  )
})

test('whatever happens at once: nothing reserved exceeds a limit, and when all is released nothing is lost', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (sequence) => {
      const tenant = newTenant()
      for (const name of BUDGETS) await here.open(tenant, name, LIMITS[name])
      let isOver = false
      const watching = (async () => {
        while (!isOver) assertWithinLimits(await there.list(tenant))
      })()
      // Settled with nothing spent, so that limits hold for what is reserved alone.
      await Promise.all(
        sequence.map((step) => take(step.process ? here : there, tenant, { ...step, do: step.do === 'settle' ? 'release' : step.do })),
      )
      isOver = true
      await watching
      assertWithinLimits(await here.list(tenant))
      for (const { key } of sequence) await here.release({ tenant, key })
      for (const { reserved } of await here.list(tenant)) expect(reserved).toEqual({ tokens: 0, costMicros: 0, calls: 0, seconds: 0 })
    }),
    { numRuns: 25 },
  )
})

/** True when the budgets let it through. */
async function take(port: Budgets, tenant: string, { do: what, key, budgets, amount }: Step): Promise<boolean> {
  if (what === 'settle') await port.settle({ tenant, key, actual: amount })
  if (what === 'release') await port.release({ tenant, key })
  if (what !== 'reserve') return true
  try {
    await port.reserve({ tenant, key, budgets, amount })
    return true
  } catch (error) {
    if (!SomaError.is(error, 'budget_exceeded')) throw error
    return false
  }
}

function assertWithinLimits(states: Awaited<ReturnType<Budgets['list']>>): void {
  for (const { id, limit, reserved } of states) {
    for (const name of ['calls', 'tokens'] as const) {
      expect(reserved[name], `${name} of ${id}`).toBeGreaterThanOrEqual(0)
      if (limit[name] !== undefined) expect(reserved[name], `${name} of ${id}`).toBeLessThanOrEqual(limit[name])
    }
  }
}

/** The promise in the simplest words: a map and sums. */
function createBooks() {
  const held = new Map<string, Step>()
  const spent = new Map<BudgetName, { calls: number; tokens: number }>(BUDGETS.map((name) => [name, { calls: 0, tokens: 0 }]))
  const reservedOf = (name: BudgetName) => {
    const own = [...held.values()].filter((step) => step.budgets.includes(name))
    const sum = (what: 'calls' | 'tokens') => own.reduce((total, step) => total + step.amount[what], 0)
    return { calls: sum('calls'), tokens: sum('tokens') }
  }
  const fits = (name: BudgetName, amount: Step['amount']) =>
    (['calls', 'tokens'] as const).every((what) => {
      const limit = LIMITS[name][what]
      const total = reservedOf(name)[what] + (spent.get(name)?.[what] ?? 0) + amount[what]
      return amount[what] === 0 || limit === undefined || total <= limit
    })
  return {
    take(step: Step): boolean {
      const before = held.get(step.key)
      if (step.do === 'reserve') {
        if (before) return true
        if (!step.budgets.every((name) => fits(name, step.amount))) return false
        held.set(step.key, step)
        return true
      }
      held.delete(step.key)
      for (const name of step.do === 'settle' ? (before?.budgets ?? []) : []) {
        const total = spent.get(name) as { calls: number; tokens: number }
        spent.set(name, { calls: total.calls + step.amount.calls, tokens: total.tokens + step.amount.tokens })
      }
      return true
    },
    state: (name: BudgetName) => ({ reserved: reservedOf(name), spent: spent.get(name) }),
  }
}
