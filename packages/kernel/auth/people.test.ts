import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { person } from '../gate/testing.ts'
import { API_KEY_MIGRATIONS, issueApiKey, revokeApiKey } from './api-keys.ts'
import { createPeople } from './people.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
beforeAll(async () => {
  sql = await openTestSql()
  await sql.migrate('identity', API_KEY_MIGRATIONS)
})
afterAll(() => sql.close())

const people = (hasIssuer = false) => createPeople(sql, { hasIssuer })
async function keyOf(tenant: string, issuer: string, capabilities = ['*']): Promise<string> {
  const by = issuer === 'platform' ? 'platform' : person({ id: issuer, tenant })
  return `key:${(await issueApiKey(sql, { tenant, name: 'k', capabilities }, by)).record.id}`
}

test('behind a key stands who made it, also through other keys; behind anybody else that one', async () => {
  const first = await keyOf('acme', 'platform')
  const second = await keyOf('acme', first)
  const third = await keyOf('acme', second)
  const own = await keyOf('acme', 'user:ada')
  const behind = await people().behind('acme')
  expect([first, second, third, own, 'user:eve', 'key:unknown'].map(behind)).toEqual([
    first,
    first,
    first,
    'user:ada',
    'user:eve',
    'key:unknown',
  ])
  expect((await people().behind('globex'))(third)).toBe(third)
})

test('somebody is alone as long as nobody else holds all of the capabilities', async () => {
  const first = await keyOf('solo', 'platform')
  await keyOf('solo', first, ['approval.*'])
  const isAlone = (hasIssuer = false) => people(hasIssuer).isAlone('solo', first, ['approval.decide', 'release.approve'])
  expect(await isAlone()).toBe(true)
  expect(await isAlone(true)).toBe(false)
  await keyOf('solo', 'user:grace', ['approval.*'])
  expect(await isAlone()).toBe(true)
  const other = await keyOf('solo', 'user:grace', ['approval.*', 'release.*'])
  expect(await isAlone()).toBe(false)
  await revokeApiKey(sql, 'solo', other.slice('key:'.length))
  expect(await isAlone()).toBe(true)
})
