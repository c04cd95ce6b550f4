import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Vectors } from './port.ts'
import { openQdrantVectors } from './qdrant.ts'

/** What a healthy Qdrant can't be asked to do: a server that says one thing, in Qdrant's words, or says nothing. */
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function vectorsAt(answer: RequestListener, path = '', timeoutMilliseconds?: number): Promise<Vectors> {
  const server = createServer(answer)
  servers.push(server)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`
  return openQdrantVectors({ url, apiKey: 'a-key', prefix: 'soma', timeoutMilliseconds })
}

const says =
  (status: number, error: string): RequestListener =>
  (_, response) =>
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ status: { error } }))

test.each([
  [500, 'Service internal error: No space left on device: WAL buffer size exceeds available disk space', 'disk_full'],
  [400, 'Wrong input: Vector dimension error: expected dim: 3, got 4', 'invalid_input'],
  [413, 'JSON payload is larger than allowed', 'invalid_input'],
  [403, 'Forbidden', 'dependency_unavailable'],
  [500, 'Service internal error: something', 'dependency_unavailable'],
  [503, 'Timeout', 'dependency_unavailable'],
])('%d with "%s" is %s', async (status, error, code) => {
  const vectors = await vectorsAt(says(status, error))
  await expect(vectors.listCollections('acme')).rejects.toMatchObject({ code, details: { status } })
})

test('a server that stays silent is given up, and one that is not there is named', async () => {
  const silent = await vectorsAt(() => undefined, '', 50)
  await expect(silent.version()).rejects.toMatchObject({ code: 'dependency_unavailable' })
  const absent = await openQdrantVectors({ url: 'http://127.0.0.1:1', prefix: 'soma' })
  await expect(absent.version()).rejects.toMatchObject({
    code: 'dependency_unavailable',
    message: expect.stringMatching(/http:\/\/127\.0\.0\.1:1 .*SOMA_QDRANT_URL/),
  })
})

test('a server below a path is found there, and gets the key', async () => {
  const seen: unknown[] = []
  const vectors = await vectorsAt((request, response) => {
    seen.push([request.url, request.headers['api-key']])
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ result: { collections: [] } }))
  }, '/behind/a/proxy/')
  expect(await vectors.listCollections('acme')).toEqual([])
  expect(seen).toEqual([['/behind/a/proxy/collections', 'a-key']])
})

test('one without an address is refused', async () => {
  await expect(openQdrantVectors({ prefix: 'soma' })).rejects.toMatchObject({ code: 'invalid_input' })
})
