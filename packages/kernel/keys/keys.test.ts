import { createPublicKey, randomBytes, verify } from 'node:crypto'
import type { Secrets } from '@soma/ports/secrets/port'
import { openPostgresSecrets } from '@soma/ports/secrets/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { createKeys, type SigningKey } from './keys.ts'

let sql: Awaited<ReturnType<typeof openTestSql>>
let secrets: Secrets
beforeAll(async () => {
  sql = await openTestSql()
  secrets = await openPostgresSecrets(sql, { masterKey: randomBytes(32) })
})
beforeEach(() => secrets.delete('platform', 'keys/ledger'))
afterAll(() => sql.close())

const holds = (key: SigningKey, text: string, signature: string) =>
  verify(null, Buffer.from(text), createPublicKey(key.publicKey), Buffer.from(signature, 'base64url'))

test('what a key signs is verified with its public key, and nothing else is', async () => {
  const key = await createKeys(secrets).signingKey('ledger')
  const signature = key.sign('text')
  expect(holds(key, 'text', signature)).toBe(true)
  expect(holds(key, 'other', signature)).toBe(false)
  expect(key.id).toMatch(/^[0-9a-f]{16}$/)
})

test('a key is the same after a restart, and another for every purpose', async () => {
  const first = await createKeys(secrets).signingKey('ledger')
  const restarted = createKeys(secrets)
  expect((await restarted.signingKey('ledger')).id).toBe(first.id)
  expect((await restarted.signingKey('capsules')).id).not.toBe(first.id)
})

test('processes that start together agree on one key, then and after every restart', async () => {
  const started = await Promise.all(Array.from({ length: 6 }, () => createKeys(secrets).signingKey('ledger')))
  const restarted = await createKeys(secrets).signingKey('ledger')
  expect(new Set([...started, restarted].map((key) => key.id)).size).toBe(1)
})

test('a key that could not be read is read again', async () => {
  let fails = true
  const keys = createKeys({
    ...secrets,
    read: async (...place) => {
      if (fails) throw new Error('connection refused')
      return secrets.read(...place)
    },
  })
  await expect(keys.signingKey('ledger')).rejects.toThrow('connection refused')
  fails = false
  await keys.signingKey('ledger')
})

test('private keys are kept as secrets, encrypted', async () => {
  await createKeys(secrets).signingKey('ledger')
  expect(await secrets.read('platform', 'keys/ledger')).toContain('PRIVATE KEY')
  const { rows } = await sql.platform.query('select * from secrets.versions')
  for (const row of rows) expect(Buffer.from(row.sealed).toString('latin1')).not.toContain('PRIVATE KEY')
})
