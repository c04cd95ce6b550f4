import { readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { fromStack } from '../testing.ts'
import { secretsConformance } from './conformance.ts'
import { openVaultSecrets } from './vault.ts'

const VALUE = 'correct horse battery staple'
const settings = () => ({
  url: fromStack('SOMA_VAULT_URL'),
  token: fromStack('SOMA_VAULT_TOKEN'),
  mount: 'secret',
  onTrouble: (error: unknown) => {
    throw error
  },
})
const open = (other: { token?: string; mount?: string } = {}) => openVaultSecrets({ ...settings(), onTrouble: () => undefined, ...other })

secretsConformance('vault', () => openVaultSecrets(settings()))

describe('secrets: vault', () => {
  test.each([
    ['a token that Vault does not know', { token: 'not-one' }, /does not let the token of SOMA_VAULT_TOKEN/],
    ['a mount that is not there', { mount: 'elsewhere' }, /does not let the token|no key-value engine at "elsewhere"/],
  ])('%s is an error that says what to do, and holds neither value nor token', async (_, other, message) => {
    const secrets = await open(other)
    for (const call of [() => secrets.write('acme', 'name', VALUE), () => secrets.read('acme', 'name'), () => secrets.list('acme')])
      await expectUnavailable(call, message)
    await secrets.close()
  })

  test('the version is what Vault says, and needs no token', async () => {
    const secrets = await open({ token: 'not-one' })
    expect(await secrets.version()).toMatch(/^\d+\.\d+\.\d+/)
    await secrets.close()
  })

  test('a token is renewed before its time is over', async () => {
    const { root_token: root } = JSON.parse(await readFile(fromStack('OPENBAO_KEYS'), 'utf8')) as { root_token: string }
    const { auth } = await ask<{ auth: { client_token: string } }>('auth/token/create', root, { policies: ['soma'], period: '20s' })
    const secrets = await open({ token: auth.client_token })
    const secondsLeft = async () => (await ask<{ data: { ttl: number } }>('auth/token/lookup-self', auth.client_token)).data.ttl
    await expect.poll(secondsLeft).toBeLessThan(14)
    await expect.poll(secondsLeft).toBeGreaterThan(16)
    await secrets.close()
  })
})

async function ask<Answer>(path: string, token: string, body?: unknown): Promise<Answer> {
  const response = await fetch(`${fromStack('SOMA_VAULT_URL')}/v1/${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { 'x-vault-token': token },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  return (await response.json()) as Answer
}

async function expectUnavailable(call: () => Promise<unknown>, message: RegExp): Promise<void> {
  const error = await call().then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toMatchObject({ code: 'dependency_unavailable', message: expect.stringMatching(message) })
  const { message: text, stack, cause } = error as Error
  expect(JSON.stringify([text, stack, String(cause)])).not.toMatch(/horse|not-one/)
}
