import type { Principal } from '@soma/contracts/tenant'
import { expect, test } from 'vitest'
import { createAuthenticate } from './authenticate.ts'

const principal = (id: string): Principal => ({ id, kind: 'service', tenant: 'acme', capabilities: [], within: [] })
const authenticate = createAuthenticate({
  apiKey: async (key) => principal(`key:${key}`),
  token: async (token) => principal(`token:${token}`),
})

test('an API key and a token each go to who can tell', async () => {
  expect((await authenticate({ authorization: 'Bearer soma_1_2' })).id).toBe('key:soma_1_2')
  expect((await authenticate({ authorization: 'bearer  a.b.c' })).id).toBe('token:a.b.c')
})

test.each([undefined, '', 'Bearer', 'Bearer ', 'Basic YTpi', 'Bearer a b', `Bearer ${'x'.repeat(9000)}`, 'soma_1_2'])(
  '%j is no way in',
  async (authorization) => {
    await expect(authenticate({ authorization })).rejects.toThrow(expect.objectContaining({ code: 'unauthenticated' }))
  },
)
