import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { SomaError } from '@soma/contracts/errors'
import { expect, onTestFinished, test } from 'vitest'
import { isDatabaseAway } from './failure.ts'
import { openPostgres } from './postgres.ts'
import { openTestSql } from './testing.ts'

const PATIENCE = { connectMilliseconds: 1000, statementMilliseconds: 500 }
/** A statement has this long on whatever machine this runs, with the grace that the server gets. */
const AT_MOST = 8000

/** The database behind a door that can be kept from passing anything on, with every connection left open. */
async function openBehindDoor(options: { poolSize?: number; isSilent?: boolean } = {}) {
  const shared = await openTestSql()
  const { host, port } = shared.connection
  const pairs = new Set<[Socket, Socket]>()
  let isSilent = options.isSilent ?? false
  const server = createServer((near) => {
    const far = host?.startsWith('/') ? connect(`${host}/.s.PGSQL.${port}`) : connect(port as number, host)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => other.destroy()).on('close', () => other.destroy())
    pairs.add([near, far])
    if (!isSilent) near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connection = { ...shared.connection, host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  const opening = openPostgres({ connection, poolSize: options.poolSize, patience: PATIENCE })
  const sql = await opening.catch((error: unknown) => error as SomaError)
  onTestFinished(async () => {
    if (!SomaError.is(sql)) await sql.close()
    server.close()
    for (const [near] of pairs) near.destroy()
    await shared.close()
  })
  return {
    opened: sql,
    get sql() {
      if (SomaError.is(sql)) throw sql
      return sql
    },
    hang() {
      isSilent = true
      for (const [near, far] of pairs) {
        near.unpipe().pause()
        far.unpipe().pause()
      }
    },
    goOn() {
      isSilent = false
      for (const [near, far] of pairs) near.pipe(far).pipe(near)
    },
  }
}

async function timed(work: Promise<unknown>): Promise<{ error: unknown; milliseconds: number }> {
  const began = performance.now()
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  return { error, milliseconds: performance.now() - began }
}

test('a server that takes connections and says nothing is told of', async () => {
  const { opened } = await openBehindDoor({ isSilent: true })
  expect(opened).toMatchObject({ code: 'dependency_unavailable' })
})

test('a server that hangs holds nobody up, and what it is asked when it goes on is answered', async () => {
  const { sql, hang, goOn } = await openBehindDoor({ poolSize: 2 })
  await sql.platform.query('select 1')
  hang()
  const insideTransaction = sql.platform.transaction((transaction) => transaction.query('select 1'))
  const [statement, transaction, waiting] = await Promise.all([
    timed(sql.platform.query('select 1')),
    timed(insideTransaction),
    timed(sql.platform.query('select 1')),
  ])
  for (const { error, milliseconds } of [statement, transaction, waiting]) {
    expect(isDatabaseAway(error)).toBe(true)
    expect(milliseconds).toBeLessThan(AT_MOST)
  }
  goOn()
  await Promise.all(Array.from({ length: 4 }, () => sql.platform.query('select 1')))
})

test('who waits for a connection that others keep is told in time', async () => {
  const { sql } = await openBehindDoor({ poolSize: 1 })
  const client = await sql.platform.connect()
  const { error, milliseconds } = await timed(sql.platform.query('select 1'))
  expect(isDatabaseAway(error)).toBe(true)
  expect(milliseconds).toBeLessThan(AT_MOST)
  client.release()
})

test('a statement that takes too long is ended where it runs, and its connection is used again', async () => {
  const { sql } = await openBehindDoor({ poolSize: 1 })
  const { error } = await timed(sql.platform.query("select 'endless', pg_sleep(60)"))
  expect(error).toMatchObject({ code: '57014' })
  expect(isDatabaseAway(error)).toBe(true)
  const { rows } = await sql.platform.query(
    "select from pg_stat_activity where query like '%endless%' and pid <> pg_backend_pid() and state = 'active'",
  )
  expect(rows).toEqual([])
})

test('what takes long by its nature is not ended: a migration, a lock, a listener', async () => {
  const { sql } = await openBehindDoor({ poolSize: 3 })
  const heard: string[] = []
  await sql.listen('news', (text) => heard.push(text))
  const owner = await sql.platform.connect()
  onTestFinished(() => owner.release())
  await owner.query('select pg_advisory_lock(42)')
  const slow = { name: '001-slow', up: 'create table slow (id int); select pg_sleep(4)' }
  // The second waits for the first.
  await Promise.all([sql.migrate('patience', [slow]), sql.migrate('patience', [slow])])
  await sql.notify('news', 'still here')
  await expect.poll(() => heard).toEqual(['still here'])
  expect((await sql.platform.query('select pg_try_advisory_lock(42) as taken')).rows).toEqual([{ taken: false }])
})
