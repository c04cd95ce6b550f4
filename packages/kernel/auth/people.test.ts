import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { person } from '../gate/testing.ts'
import { issueApiKey, revokeApiKey } from './api-keys.ts'
import { IDENTITY_MIGRATIONS } from './migrations.ts'
import { createPeople } from './people.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
beforeAll(async () => {
  sql = await openTestSql()
  await sql.migrate('identity', IDENTITY_MIGRATIONS)
})
afterAll(() => sql.close())

const people = (tenant: string, hasIssuer = false) => createPeople(sql, { hasIssuer }).in(tenant)
async function keyOf(tenant: string, issuer: string, capabilities = ['*']): Promise<string> {
  const by = issuer === 'platform' ? 'platform' : person({ id: issuer, tenant })
  return `key:${(await issueApiKey(sql, { tenant, name: 'k', capabilities }, by)).record.id}`
}
const addUser = (tenant: string, id: string, roles: string[], isActive = true) =>
  sql
    .tenant(tenant)
    .query('insert into identity.users (id, email, name, email_verified, roles, is_active) values ($1, $1, $1, true, $2, $3)', [
      id,
      roles,
      isActive,
    ])

test('behind a key stands who holds or made it, also through other keys; behind anybody else that one', async () => {
  await addUser('acme', 'ada', ['developer'])
  const first = await keyOf('acme', 'platform')
  const second = await keyOf('acme', first)
  const third = await keyOf('acme', second)
  const own = await keyOf('acme', 'user:ada')
  const { behind } = await people('acme')
  expect([first, second, third, own, 'user:eve', 'key:unknown'].map(behind)).toEqual([
    first,
    first,
    first,
    'user:ada',
    'user:eve',
    'key:unknown',
  ])
  expect((await people('globex')).behind(third)).toBe(third)
})

test('somebody is alone as long as nobody else holds all of the capabilities', async () => {
  const first = await keyOf('solo', 'platform')
  await keyOf('solo', first, ['approval.*', 'release.approve'])
  const isAlone = async (hasIssuer = false) => (await people('solo', hasIssuer)).isAlone(first, ['approval.decide', 'release.approve'])
  expect(await isAlone()).toBe(true)
  expect(await isAlone(true)).toBe(false)
  const other = await keyOf('solo', 'user:grace', ['approval.*', 'release.*'])
  expect(await isAlone()).toBe(false)
  await revokeApiKey(sql, 'solo', other.slice('key:'.length))
  expect(await isAlone()).toBe(true)
  await addUser('solo', 'operator', ['operator'])
  await addUser('solo', 'gone', ['owner'], false)
  expect(await isAlone()).toBe(true)
  await sql
    .tenant('solo')
    .query(`insert into identity.roles (tenant, name, summary, capabilities) values ('solo', 'releaser', 'r', '{release.approve}')`)
  await sql.tenant('solo').query(`update identity.users set roles = '{operator,releaser}' where id = 'operator'`)
  expect(await isAlone()).toBe(false)
})

test('what somebody may is what the roles give now', async () => {
  await addUser('roles', 'op', ['operator'])
  await addUser('roles', 'out', ['owner'], false)
  const key = await keyOf('roles', 'platform', ['approval.decide'])
  const known = await people('roles')
  expect(known.capabilitiesOf('user:op')).toContain('approval.*')
  expect(known.capabilitiesOf('user:out')).toEqual([])
  expect(known.capabilitiesOf(key)).toEqual(['approval.decide'])
  expect(known.capabilitiesOf('user:elsewhere')).toBeUndefined()
  await revokeApiKey(sql, 'roles', key.slice('key:'.length))
  expect((await people('roles')).capabilitiesOf(key)).toEqual([])
})
