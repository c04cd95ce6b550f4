import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { Objects } from './port.ts'
import { openS3Objects } from './s3.ts'

/** What a healthy MinIO can't be asked to do: a server that says one thing, in MinIO's words, or says nothing. */
const opened: { server: Server; objects: Objects }[] = []
afterEach(async () => {
  for (const { server, objects } of opened.splice(0)) {
    await objects.close()
    server.closeAllConnections()
    server.close()
  }
})

async function objectsAt(answer: RequestListener, idleTimeoutMilliseconds?: number): Promise<Objects> {
  const server = createServer(answer)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  const objects = await openS3Objects({
    endpoint: `http://127.0.0.1:${port}`,
    region: 'us-east-1',
    bucket: 'soma',
    accessKeyId: 'user',
    secretAccessKey: 'a-secret',
    idleTimeoutMilliseconds,
  })
  opened.push({ server, objects })
  return objects
}

const ABC = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const ABC_BASE64 = Buffer.from(ABC.slice(7), 'hex').toString('base64')
const failure = (code: string) => `<?xml version="1.0"?><Error><Code>${code}</Code><Message>Words of the server.</Message></Error>`

test.each(['XMinioStorageFull', 'XMinioAdminBucketQuotaExceeded'])('%s is said to be a full disk', async (code) => {
  const objects = await objectsAt((request, response) => {
    request.resume()
    response.writeHead(request.method === 'HEAD' ? 404 : 507, { 'content-type': 'application/xml' }).end(failure(code))
  })
  await expect(objects.put('acme', Buffer.from('abc'), 'text/plain')).rejects.toMatchObject({
    code: 'disk_full',
    message: expect.stringContaining('bucket "soma"'),
  })
})

test('a server that is busy is asked again', async () => {
  let asked = 0
  const objects = await objectsAt((_, response) => {
    asked++
    if (asked === 1) response.writeHead(503, { 'content-type': 'application/xml' }).end(failure('SlowDown'))
    else response.writeHead(200).end('abc')
  })
  expect(Buffer.from(await objects.get('acme', ABC)).toString()).toBe('abc')
  expect(asked).toBe(2)
})

test('a server that stays silent, or stops in the middle of an object, is given up', async () => {
  const silent = await objectsAt(() => undefined, 50)
  await expect(silent.get('acme', ABC)).rejects.toMatchObject({ code: 'dependency_unavailable' })
  const halfway = await objectsAt((_, response) => response.writeHead(200, { 'content-length': 3 }).write('a'), 50)
  await expect(halfway.get('acme', ABC)).rejects.toMatchObject({ code: 'dependency_unavailable' })
})

test('a server that is not there is named, with what to look at, and no secret', async () => {
  const objects = await objectsAt(() => undefined)
  opened.at(-1)?.server.close()
  const refusal = await objects.version().catch((error: unknown) => error)
  expect(refusal).toMatchObject({ code: 'dependency_unavailable', message: expect.stringMatching(/127\.0\.0\.1.*SOMA_S3_ENDPOINT/) })
  expect(String((refusal as Error).message)).not.toContain('a-secret')
})

test('a body is sent with its digest, signed, once', async () => {
  const seen: Record<string, unknown>[] = []
  const objects = await objectsAt((request, response) => {
    const { method, headers } = request
    seen.push({ method, digest: headers['x-amz-content-sha256'], checksum: headers['x-amz-checksum-sha256'] })
    request.resume()
    response.writeHead(method === 'HEAD' ? 404 : 200).end()
  })
  await objects.put('acme', Buffer.from('abc'), 'text/plain')
  expect(seen).toEqual([expect.objectContaining({ method: 'HEAD' }), { method: 'PUT', digest: ABC.slice(7), checksum: ABC_BASE64 }])
})
