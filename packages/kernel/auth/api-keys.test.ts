import { holds, type Principal } from '@soma/contracts/tenant'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { issueApiKey, listApiKeys, revokeApiKey, rotateApiKey } from './api-keys.ts'
import { IDENTITY_MIGRATIONS } from './migrations.ts'
import { looksLikeApiKey, verifyApiKey } from './verify-api-key.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
beforeAll(async () => {
  sql = await openTestSql()
  await sql.migrate('identity', IDENTITY_MIGRATIONS)
})
afterAll(() => sql.close())

const REFUSED = expect.objectContaining({ code: 'unauthenticated', message: 'The API key is unknown, expired or revoked.' })
const ada: Principal = {
  id: 'user:ada',
  kind: 'user',
  tenant: 'acme',
  capabilities: ['tool.git.*', 'project.read'],
  within: [['tool.*', 'project.*']],
}
const shutOut = new Set<string>()
const verify = (key: string) =>
  verifyApiKey({ sql, revocations: { isShutOut: async (tenant, principal) => shutOut.has(`${tenant}/${principal}`) } }, key)
const request = { tenant: 'acme', name: 'ci', capabilities: ['tool.git.read'] }

test('a key stands for its tenant and capabilities, and for the limits of who gave it', async () => {
  const { key, record } = await issueApiKey(sql, request, ada)
  expect(key).toMatch(/^soma_[0-9a-f]{24}_[\w-]{43}$/)
  expect(looksLikeApiKey(key)).toBe(true)
  expect(await verify(key)).toEqual({
    id: `key:${record.id}`,
    kind: 'service',
    tenant: 'acme',
    capabilities: ['tool.git.read'],
    within: ada.within,
    onBehalfOf: 'user:ada',
  })
})

test('the secret is nowhere in the database', async () => {
  const { key } = await issueApiKey(sql, request, ada)
  const secret = key.split('_').slice(2).join('_')
  const { rows } = await sql.platform.query("select k::text as line, encode(secret_sha256, 'escape') as digest from identity.api_keys k")
  expect(rows.length).toBeGreaterThan(0)
  for (const row of rows) expect(`${row.line}${row.digest}`).not.toContain(secret)
})

test('nobody gives what they do not hold', async () => {
  const lacking = (capabilities: string[], tenant = 'acme') => issueApiKey(sql, { ...request, tenant, capabilities }, ada)
  await expect(lacking(['tool.git.read', 'tool.*'])).rejects.toThrow(
    expect.objectContaining({ code: 'forbidden', details: { capability: 'tool.*' } }),
  )
  await expect(lacking(['*'])).rejects.toThrow(expect.objectContaining({ code: 'forbidden' }))
  await expect(lacking(['tool.git.read'], 'globex')).rejects.toThrow(expect.objectContaining({ code: 'forbidden' }))
  expect((await issueApiKey(sql, { ...request, capabilities: ['*'] }, 'platform')).record.createdBy).toBe('platform')
})

test('a secret that is wrong by one letter, an unknown id and no key at all are refused in the same words', async () => {
  const { key } = await issueApiKey(sql, request, ada)
  const changed = key.slice(0, -1) + (key.endsWith('A') ? 'B' : 'A')
  const others = [changed, `soma_${'0'.repeat(24)}_${'A'.repeat(43)}`, 'soma_', `${key}x`, `${key}\n`, "soma_' or 1=1 --", '']
  for (const other of others) await expect(verify(other)).rejects.toThrow(REFUSED)
})

test('a key ends when it expires or is revoked', async () => {
  const { key, record } = await issueApiKey(sql, { ...request, expiresAt: new Date(Date.now() + 60_000) }, ada)
  await verify(key)
  await sql.platform.query("update identity.api_keys set expires_at = now() - interval '1 second' where id = $1", [record.id])
  await expect(verify(key)).rejects.toThrow(REFUSED)
  await expect(issueApiKey(sql, { ...request, expiresAt: new Date(0) }, ada)).rejects.toThrow(
    expect.objectContaining({ code: 'invalid_input' }),
  )

  const second = await issueApiKey(sql, request, ada)
  await expect(revokeApiKey(sql, 'globex', second.record.id)).rejects.toThrow(expect.objectContaining({ code: 'not_found' }))
  await verify(second.key)
  const revoked = await revokeApiKey(sql, 'acme', second.record.id)
  expect(revoked.revokedAt).not.toBeNull()
  expect((await revokeApiKey(sql, 'acme', second.record.id)).revokedAt).toBe(revoked.revokedAt)
  await expect(verify(second.key)).rejects.toThrow(REFUSED)
})

test('a list shows when a key was used, and only the tenant’s own', async () => {
  const { key, record } = await issueApiKey(sql, { ...request, tenant: 'listed' }, 'platform')
  expect(await listApiKeys(sql, 'listed')).toMatchObject([{ id: record.id, lastUsedAt: null }])
  await verify(key)
  const [used] = await listApiKeys(sql, 'listed')
  expect(Date.parse(used?.lastUsedAt ?? '')).toBeGreaterThan(Date.now() - 60_000)
  expect(JSON.stringify(used)).not.toMatch(/secret|sha256/)
  expect(await listApiKeys(sql, 'listed', { afterId: record.id })).toEqual([])
})

describe('a key is bound by who made it', () => {
  const eve: Principal = { id: 'user:eve', kind: 'user', tenant: 'bound', capabilities: ['project.*', 'tool.git.*'], within: [] }
  const keyOf = (more: object = {}, by: Principal = eve) =>
    issueApiKey(sql, { tenant: 'bound', name: 'ci', capabilities: ['project.*', 'tool.git.read'], ...more }, by)
  const setRoles = (roles: string[]) =>
    sql.platform.query(
      `insert into identity.users (tenant, id, email, name, email_verified, roles) values ('bound', 'eve', 'eve@example.org', 'Eve', true, $1)
       on conflict (id) do update set roles = excluded.roles`,
      [roles],
    )

  test('it may no more than that person may at the moment', async () => {
    await sql.platform.query("insert into identity.roles values ('bound', 'reader', 'Reads', '{project.read}')")
    await setRoles(['developer'])
    const { key, record } = await keyOf()
    expect(record.holder).toBe('user:eve')
    expect(holds(await verify(key), 'project.create')).toBe(true)
    await setRoles(['reader'])
    const reduced = await verify(key)
    expect([holds(reduced, 'project.read'), holds(reduced, 'project.create'), holds(reduced, 'tool.git.read')]).toEqual([
      true,
      false,
      false,
    ])
    await setRoles([])
    expect(holds(await verify(key), 'project.read')).toBe(false)
  })

  test('it ends with that person, and so does what was made with it', async () => {
    await setRoles(['developer'])
    const { key } = await keyOf()
    const child = await keyOf({ capabilities: ['project.read'] }, await verify(key))
    expect(child.record.holder).toBe('user:eve')
    await verify(child.key)
    shutOut.add('bound/user:eve')
    for (const each of [key, child.key]) await expect(verify(each)).rejects.toThrow(REFUSED)
    shutOut.clear()
    await verify(key)
  })

  test('one of a service account stands for the account, with its roles and no more than the key names', async () => {
    await sql.platform.query("insert into identity.service_accounts values ('bound', 'robot', 'Builds', '{viewer}', true, 'user:eve')")
    const { key } = await keyOf({ account: 'robot', capabilities: ['project.*'] })
    const principal = await verify(key)
    expect(principal).toMatchObject({ id: 'account:robot', kind: 'service', tenant: 'bound' })
    expect([holds(principal, 'project.read'), holds(principal, 'project.create'), holds(principal, 'run.read')]).toEqual([
      true,
      false,
      false,
    ])
    shutOut.add('bound/account:robot')
    await expect(verify(key)).rejects.toThrow(REFUSED)
    shutOut.clear()
  })

  test('an agent makes none', async () => {
    await expect(keyOf({}, { ...eve, id: 'agent:dev', kind: 'agent' })).rejects.toMatchObject({ code: 'forbidden' })
  })
})

describe('rotation', () => {
  const admin: Principal = { id: 'user:admin', kind: 'user', tenant: 'turning', capabilities: ['*'], within: [] }
  const keyOf = (more: object = {}) => issueApiKey(sql, { tenant: 'turning', name: 'ci', capabilities: ['tool.git.read'], ...more }, admin)
  const rotate = (id: string, by = admin, overlapSeconds = 3600) => rotateApiKey(sql, { id, overlapSeconds }, by)

  test('both keys work during the overlap, and only the new one after it', async () => {
    const old = await keyOf({ expiresAt: new Date(Date.now() + 86_400_000) })
    const made = await rotate(old.record.id)
    expect(made.record).toMatchObject({ name: 'ci', capabilities: ['tool.git.read'], replaces: old.record.id, holder: 'user:admin' })
    expect(Date.parse(made.record.expiresAt ?? '')).toBeGreaterThan(Date.parse(old.record.expiresAt ?? ''))
    expect((await verify(old.key)).capabilities).toEqual((await verify(made.key)).capabilities)
    await sql.platform.query("update identity.api_keys set expires_at = now() - interval '1 second' where id = $1", [old.record.id])
    await expect(verify(old.key)).rejects.toThrow(REFUSED)
    await verify(made.key)
  })

  test('without an overlap the old key ends at once; an overlap never makes it live longer', async () => {
    const old = await keyOf()
    await rotate(old.record.id, admin, 0)
    await expect(verify(old.key)).rejects.toThrow(REFUSED)
    const soon = await keyOf({ expiresAt: new Date(Date.now() + 60_000) })
    await rotate(soon.record.id)
    const [after] = (await listApiKeys(sql, 'turning')).filter(({ id }) => id === soon.record.id)
    expect(after?.expiresAt).toBe(soon.record.expiresAt)
  })

  test('a key is rotated once, also by two at once, and not after its end', async () => {
    const { record } = await keyOf()
    const attempts = await Promise.allSettled([rotate(record.id), rotate(record.id)])
    expect(attempts.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    await expect(rotate(record.id)).rejects.toMatchObject({ code: 'conflict' })
    const revoked = await keyOf()
    await revokeApiKey(sql, 'turning', revoked.record.id)
    await expect(rotate(revoked.record.id)).rejects.toMatchObject({ code: 'conflict' })
    await expect(rotate('0'.repeat(24))).rejects.toMatchObject({ code: 'not_found' })
    await expect(rotate((await keyOf()).record.id, { ...admin, tenant: 'other' })).rejects.toMatchObject({ code: 'not_found' })
  })

  test('nobody gets by it what he does not hold; a key rotates itself', async () => {
    const { key, record } = await keyOf({ capabilities: ['tool.git.read', 'key.create'] })
    const little: Principal = { ...admin, id: 'user:little', capabilities: ['key.create'] }
    await expect(rotate(record.id, little)).rejects.toMatchObject({ code: 'forbidden' })
    const made = await rotate(record.id, await verify(key))
    expect((await verify(made.key)).capabilities).toEqual(['tool.git.read', 'key.create'])
  })
})
