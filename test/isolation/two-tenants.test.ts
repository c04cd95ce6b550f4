import { isDeepStrictEqual } from 'node:util'
import { sha256 } from '@soma/contracts/journal'
import type { CloudEvent } from '@soma/ports/events/port'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readEverything, routesOf, touchEverything } from './every-route.ts'
import { rowsOf, tablesOf } from './every-table.ts'
import { OPERATION_NAMES, OPERATIONS } from './operations.ts'
import { type IsolationWorld, openIsolationWorld, type TenantUnderTest } from './world.ts'

let world: IsolationWorld
let routes: Awaited<ReturnType<typeof routesOf>>
let pairs: [TenantUnderTest, TenantUnderTest][]
const events: CloudEvent[] = []
/** How often each tenant did something: the second thing of one has the same number as the second of the other. */
const turns = new Map<string, number>()

beforeAll(async () => {
  world = await openIsolationWorld()
  routes = await routesOf(world)
  const [acme, globex] = world.tenants
  pairs = [
    [acme, globex],
    [globex, acme],
  ]
  await world.events.consume({ topic: 'notes', group: 'isolation', handler: async (event) => void events.push(event) })
})
afterAll(() => world?.close())

function perform(what: (typeof OPERATION_NAMES)[number], tenant: TenantUnderTest): Promise<unknown> {
  const turn = `${tenant.name}/${what}`
  turns.set(turn, (turns.get(turn) ?? 0) + 1)
  return OPERATIONS[what](world, tenant, turns.get(turn) as number)
}

async function everybodyDoes(whats: readonly (typeof OPERATION_NAMES)[number][]): Promise<void> {
  await Promise.all(world.tenants.flatMap((tenant) => whats.map((what) => perform(what, tenant))))
}

/** Once what the tenant itself began is over. */
async function settledRowsOf({ name }: TenantUnderTest): Promise<Record<string, string>> {
  let rows = await rowsOf(world.sql, name)
  const isSettled = async () => {
    const before = rows
    rows = await rowsOf(world.sql, name)
    return isDeepStrictEqual(before, rows)
  }
  await expect.poll(isSettled, { interval: 1000, timeout: 60_000 }).toBe(true)
  return rows
}

/** What the reader gets out of each port when it asks for all that there is, and for what the other put there. */
async function readPorts({ name }: TenantUnderTest, other: TenantUnderTest): Promise<unknown[]> {
  const { cache, secrets, objects, vectors, journal, budgets } = world
  const theirs = `sha256:${sha256(other.mark)}`
  await expect(objects.get(name, theirs)).rejects.toMatchObject({ code: 'not_found' })
  expect(await objects.stat(name, theirs)).toBeUndefined()
  await vectors.ensureCollection(name, 'notes', { dimensions: 2 })
  const own = await objects.list(name)
  return [
    await cache.get(name, 'session'),
    await secrets.read(name, 'vendor/token'),
    await secrets.list(name),
    await Promise.all(own.map(async ({ digest }) => Buffer.from(await objects.get(name, digest)).toString())),
    await vectors.search(name, 'notes', { vector: [1, 1] }),
    await vectors.search(name, 'notes', { text: other.mark, vector: [1, 1] }),
    await vectors.get(name, 'notes', ['same']),
    await vectors.listCollections(name),
    await journal.read(name, 'same/stream'),
    await journal.tail({ tenant: name, after: '0', limit: 100_000, includeUnsettled: true }),
    await journal.stored({ tenant: name, after: '0', limit: 100_000 }),
    await budgets.list(name),
  ]
}

async function expectNoTraces(reader: TenantUnderTest, other: TenantUnderTest): Promise<void> {
  for (const { path, answer } of await readEverything(routes, reader, other)) {
    expect(answer.status, `${path}: ${answer.text}`).toBeLessThan(500)
    expect(answer.text.includes(other.mark), `${reader.name} finds ${other.name}'s mark in the answer of ${path}`).toBe(false)
  }
  const kept = JSON.stringify(await readPorts(reader, other))
  expect(kept.includes(other.mark), `${reader.name} finds ${other.name}'s mark in ${kept}`).toBe(false)
}

test('each tenant finds its own marks again by every road on which the other’s are looked for', async () => {
  await everybodyDoes(OPERATION_NAMES)
  for (const [reader, other] of pairs) {
    const ended = () =>
      reader
        .call('GET', `/v1/projects/${reader.ids.get('projects')?.[0]}`)
        .then(({ body }) => ['done', 'failed'].includes(String(body.status)))
    await expect.poll(ended, { timeout: 30_000 }).toBe(true)
    const answers = await readEverything(routes, reader, other)
    const marked = answers.filter(({ answer }) => answer.text.includes(reader.mark)).map(({ path }) => path)
    for (const collection of ['audit/export', 'audit/holds', 'api-keys', 'approvals', 'capsules', 'projects', 'roles', 'runs'])
      expect(marked, `${collection} of ${reader.name}`).toEqual(expect.arrayContaining([expect.stringContaining(`/v1/${collection}`)]))
    for (const collection of ['invitations', 'kill-switches', 'service-accounts', 'tenant', 'kamachiq/runs'])
      await expect.poll(async () => (await reader.call('GET', `/v1/${collection}`)).text, { timeout: 30_000 }).toContain(reader.mark)
    const kept = await readPorts(reader, other)
    expect(kept.filter((part) => JSON.stringify(part ?? null).includes(reader.mark)).length).toBeGreaterThanOrEqual(9)
  }
}, 180_000)

test('whatever two tenants do at once, neither gets a trace of the other', async () => {
  const step = fc.record({ who: fc.constantFrom(0 as const, 1 as const), what: fc.constantFrom(...OPERATION_NAMES) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 25 }), async (steps) => {
      await Promise.all(steps.map(({ who, what }) => perform(what, world.tenants[who])))
      await Promise.all(pairs.map(([reader, other]) => expectNoTraces(reader, other)))
    }),
    // What was done stays done, so fewer steps would not be the same again.
    { numRuns: 6, endOnFailure: true },
  )
  for (const { partitionkey, data } of events)
    expect((data as { mark: string }).mark).toBe(world.tenants.find(({ name }) => name === partitionkey)?.mark)
}, 300_000)

test('who follows a project hears of the own one, and the other’s does not exist', async () => {
  await everybodyDoes(['start a project'])
  await Promise.all(
    pairs.map(async ([listener, other]) => {
      const own = await listener.call('GET', `/v1/projects/${listener.ids.get('projects')?.at(-1)}/events`)
      expect(own.text).toContain(listener.mark)
      expect(own.text).not.toContain(other.mark)
      const theirs = await listener.call('GET', `/v1/projects/${other.ids.get('projects')?.at(-1)}/events`)
      expect(theirs.status).toBe(404)
    }),
  )
}, 120_000)

test('nothing that a tenant made can be changed, used or ended by the other', async () => {
  await everybodyDoes(OPERATION_NAMES)
  for (const [intruder, victim] of pairs) {
    const before = await settledRowsOf(victim)
    expect(await touchEverything(routes, intruder, victim)).toBeGreaterThan(20)
    expect(await rowsOf(world.sql, victim.name)).toEqual(before)
  }
}, 180_000)

test('a statement that forgets its tenant sees and changes the own rows and no others, in every table there is', async () => {
  const { sql } = world
  await everybodyDoes(OPERATION_NAMES)
  const tables = await tablesOf(sql)
  for (const [own, other] of pairs) {
    const before = await settledRowsOf(other)
    let seen = 0
    for (const { name, hasTenant } of tables) {
      const read = sql.tenant(own.name).query(`select *, t::text as line from ${name} t`)
      if (!hasTenant) {
        await expect(read, name).rejects.toThrow(/permission denied/)
        continue
      }
      const { rows } = await read
      seen += rows.filter(({ tenant }) => tenant === own.name).length
      expect(
        rows.filter(({ line }) => line.includes(other.mark)),
        name,
      ).toEqual([])
      expect(
        rows.map(({ tenant }) => tenant).filter((tenant) => ![own.name, 'platform'].includes(tenant)),
        name,
      ).toEqual([])
      await changeForgetfully(name, own.name, other.name)
    }
    expect(seen).toBeGreaterThan(50)
    expect(await rowsOf(sql, other.name)).toEqual(before)
  }
}, 120_000)

/** Each in a transaction that is rolled back, for what is the tenant's own may well be changed. */
async function changeForgetfully(table: string, own: string, other: string): Promise<void> {
  const undone = new Error('undone')
  const count = async (statement: string) => {
    let rows: number | null = 0
    const trying = world.sql.tenant(own).transaction(async (transaction) => {
      rows = (await transaction.query(statement)).rowCount
      throw undone
    })
    await expect(trying, statement).rejects.toThrow(/undone|permission denied|never changed/)
    return rows ?? 0
  }
  const { rows } = await world.sql.platform.query(`select count(*)::int as own from ${table} where tenant = $1`, [own])
  expect(await count(`update ${table} set tenant = tenant`), table).toBeLessThanOrEqual(rows[0].own)
  expect(await count(`delete from ${table}`), table).toBeLessThanOrEqual(rows[0].own)
  if (rows[0].own === 0) return
  const forged = `insert into ${table} select (jsonb_populate_record(t, jsonb_build_object('tenant', '${other}'))).* from ${table} t limit 1`
  const given = `update ${table} set tenant = '${other}'`
  for (const statement of [forged, given])
    await expect(world.sql.tenant(own).query(statement), statement).rejects.toThrow(
      /row-level security|permission denied|non-DEFAULT value/,
    )
}
