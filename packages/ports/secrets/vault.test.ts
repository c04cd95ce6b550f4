import { expect, test } from 'vitest'
import { openVaultSecrets } from './vault.ts'

const onTrouble = () => undefined

test('without address or token it is said which setting is missing', async () => {
  await expect(openVaultSecrets({ mount: 'secret', onTrouble })).rejects.toMatchObject({
    code: 'invalid_input',
    message: expect.stringContaining('SOMA_VAULT_URL and SOMA_VAULT_TOKEN'),
  })
  await expect(openVaultSecrets({ url: 'http://127.0.0.1:1', mount: 'secret', onTrouble })).rejects.toMatchObject({
    message: expect.stringMatching(/Set SOMA_VAULT_TOKEN,/),
  })
})

test('a Vault that is not there is an error that says what to do, and holds neither value nor token', async () => {
  const secrets = await openVaultSecrets({ url: 'http://127.0.0.1:1', token: 'the-token', mount: 'secret', onTrouble })
  const error: Error = await secrets.write('acme', 'name', 'correct horse').then(
    () => new Error('written'),
    (thrown) => thrown,
  )
  await secrets.close()
  expect(error).toMatchObject({
    code: 'dependency_unavailable',
    message: expect.stringMatching(/127\.0\.0\.1:1 does not answer.*SOMA_VAULT_URL/),
  })
  expect(JSON.stringify([error.message, error.stack, String(error.cause)])).not.toMatch(/horse|the-token/)
})
