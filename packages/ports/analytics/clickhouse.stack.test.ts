import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { fromStack } from '../testing.ts'
import { openClickHouse } from './clickhouse.ts'
import { analyticsConformance } from './conformance.ts'
import type { Analytics } from './port.ts'

const options = () => ({
  url: fromStack('SOMA_CLICKHOUSE_URL'),
  username: fromStack('SOMA_CLICKHOUSE_USERNAME'),
  password: fromStack('SOMA_CLICKHOUSE_PASSWORD'),
  database: fromStack('SOMA_CLICKHOUSE_DATABASE'),
})

analyticsConformance('clickhouse', () => openClickHouse(options()))

test('a database that is missing is made, once however many open it, and tables without a database are in it', async () => {
  const database = `opened_${randomBytes(6).toString('hex')}`
  const opened = await Promise.all([1, 2, 3].map(() => openClickHouse({ ...options(), database })))
  const [one, other] = opened as [Analytics, Analytics, Analytics]
  await Promise.all(opened.map((analytics) => analytics.version()))
  await one.command('create table kept (id UInt32) engine = MergeTree order by id')
  await one.insert('kept', [{ id: 1 }])
  expect(await other.query('select id from kept')).toEqual([{ id: 1 }])
  await one.command(`drop database ${database}`)
  for (const analytics of opened) await analytics.close()
})

test('a statement that fails among its rows gives none of them', async () => {
  const analytics = await openClickHouse(options())
  const half =
    "select throwIf(number = 300000, 'halfway') as ok, number from numbers(1000000) settings max_block_size = 1000, max_threads = 1"
  await expect(analytics.query(half)).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('halfway') })
  await analytics.close()
})

test('one that takes too long is given up', async () => {
  const analytics = await openClickHouse({ ...options(), requestTimeoutMilliseconds: 1000 })
  await expect(analytics.query('select sleep(2)')).rejects.toMatchObject({ code: 'dependency_unavailable' })
  await analytics.close()
})

test('one without an address is refused, and a server that is not there is said to be missing', async () => {
  await expect(openClickHouse({ ...options(), url: undefined })).rejects.toMatchObject({ code: 'invalid_input' })
  const analytics = await openClickHouse({ ...options(), url: 'http://127.0.0.1:1' })
  await expect(analytics.version()).rejects.toMatchObject({ code: 'dependency_unavailable' })
  await analytics.close()
})

test('a wrong password is said to be one, without the password', async () => {
  const analytics = await openClickHouse({ ...options(), password: 'not-the-password' })
  const refusal = await analytics.version().catch((error: unknown) => error)
  expect(refusal).toMatchObject({ code: 'dependency_unavailable', message: expect.stringContaining('Authentication failed') })
  expect(JSON.stringify(refusal)).not.toContain('not-the-password')
  await analytics.close()
})
