import type { Principal } from '@soma/contracts/tenant'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { API_KEY_MIGRATIONS, issueApiKey, listApiKeys, looksLikeApiKey, revokeApiKey, verifyApiKey } from './api-keys.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
beforeAll(async () => {
  sql = await openTestSql()
  await sql.migrate('identity', API_KEY_MIGRATIONS)
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
const request = { tenant: 'acme', name: 'ci', capabilities: ['tool.git.read'] }

test('a key stands for its tenant and capabilities, and for the limits of who gave it', async () => {
  const { key, record } = await issueApiKey(sql, request, ada)
  expect(key).toMatch(/^soma_[0-9a-f]{24}_[\w-]{43}$/)
  expect(looksLikeApiKey(key)).toBe(true)
  expect(await verifyApiKey(sql, key)).toEqual({
    id: `key:${record.id}`,
    kind: 'service',
    tenant: 'acme',
    capabilities: ['tool.git.read'],
    within: ada.within,
  })
})

test('the secret is nowhere in the database', async () => {
  const { key } = await issueApiKey(sql, request, ada)
  const secret = key.split('_').slice(2).join('_')
  const { rows } = await sql.pool.query("select k::text as line, encode(secret_sha256, 'escape') as digest from identity.api_keys k")
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
  for (const other of others) await expect(verifyApiKey(sql, other)).rejects.toThrow(REFUSED)
})

test('a key ends when it expires or is revoked', async () => {
  const { key, record } = await issueApiKey(sql, { ...request, expiresAt: new Date(Date.now() + 60_000) }, ada)
  await verifyApiKey(sql, key)
  await sql.pool.query("update identity.api_keys set expires_at = now() - interval '1 second' where id = $1", [record.id])
  await expect(verifyApiKey(sql, key)).rejects.toThrow(REFUSED)
  await expect(issueApiKey(sql, { ...request, expiresAt: new Date(0) }, ada)).rejects.toThrow(
    expect.objectContaining({ code: 'invalid_input' }),
  )

  const second = await issueApiKey(sql, request, ada)
  await expect(revokeApiKey(sql, 'globex', second.record.id)).rejects.toThrow(expect.objectContaining({ code: 'not_found' }))
  await verifyApiKey(sql, second.key)
  const revoked = await revokeApiKey(sql, 'acme', second.record.id)
  expect(revoked.revokedAt).not.toBeNull()
  expect((await revokeApiKey(sql, 'acme', second.record.id)).revokedAt).toBe(revoked.revokedAt)
  await expect(verifyApiKey(sql, second.key)).rejects.toThrow(REFUSED)
})

test('a list shows when a key was used, and only the tenant’s own', async () => {
  const { key, record } = await issueApiKey(sql, { ...request, tenant: 'listed' }, 'platform')
  expect(await listApiKeys(sql, 'listed')).toMatchObject([{ id: record.id, lastUsedAt: null }])
  await verifyApiKey(sql, key)
  const [used] = await listApiKeys(sql, 'listed')
  expect(Date.parse(used?.lastUsedAt ?? '')).toBeGreaterThan(Date.now() - 60_000)
  expect(JSON.stringify(used)).not.toMatch(/secret|sha256/)
  expect(await listApiKeys(sql, 'listed', { afterId: record.id })).toEqual([])
})
