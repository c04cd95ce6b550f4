import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createEgress } from '@soma/kernel/egress/egress'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { callOperation, testContext } from '../frame/calls/testing.ts'
import { faultConformance } from '../frame/faults/conformance.ts'
import { httpAdapter } from './adapter.ts'
import { download } from './download.ts'
import { get, head } from './read.ts'
import { request } from './request.ts'

const binary = Buffer.from([0, 255, 254, 1])
const egress = createEgress({ allowPrivate: ['127.0.0.1'], maxBytes: 1_000_000, timeoutMilliseconds: 10_000, maxRedirects: 3 })
const context = testContext({ client: null, fetch: egress.fetch })
const server = createServer(async (asked, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of asked) chunks.push(chunk)
  switch (asked.url) {
    case '/binary':
      return response.setHeader('content-type', 'image/png; a=b').end(asked.method === 'HEAD' ? undefined : binary)
    case '/latin1':
      return response.setHeader('content-type', 'text/plain; charset=ISO-8859-1').end(Buffer.from([0xe4]))
    case '/long':
      return response.end('ä'.repeat(50_000))
    case '/missing':
      return response.writeHead(404).end('gone')
    case '/cookies':
      return response.setHeader('set-cookie', ['a=1', 'b=2']).end()
    default: {
      const { method, headers } = asked
      return response
        .setHeader('content-type', 'application/json')
        .end(JSON.stringify({ method, headers, body: Buffer.concat(chunks).toString('latin1') }))
    }
  }
})
let base: string
beforeAll(async () => {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(async () => {
  await egress.close()
  await new Promise((closed) => server.close(closed))
})

type Echo = { method: string; headers: Record<string, string>; body: string }

describe('http.get', () => {
  test('text as text, in its charset; bytes as base64; JSON as JSON when asked', async () => {
    expect(await callOperation(get, { url: `${base}/latin1` }, context)).toMatchObject({
      text: 'ä',
      status: 200,
      truncated: false,
      size: 1,
    })
    expect(await callOperation(get, { url: `${base}/binary` }, context)).toMatchObject({ base64: binary.toString('base64') })
    expect(await callOperation(get, { url: base, as: 'json', headers: { 'x-a': 'b' } }, context)).toMatchObject({
      json: { headers: { 'x-a': 'b' } },
    })
    expect(await callOperation(get, { url: `${base}/latin1`, as: 'base64' }, context)).toMatchObject({ base64: '5A==' })
    await expect(callOperation(get, { url: `${base}/binary`, as: 'text' }, context)).rejects.toMatchObject({ code: 'tool_failed' })
  })

  test('a long answer is cut at a whole letter and says so', async () => {
    expect(await callOperation(get, { url: `${base}/long`, maxBytes: 11 }, context)).toMatchObject({
      text: 'äääää',
      size: 11,
      truncated: true,
    })
    await expect(callOperation(get, { url: base, as: 'json', maxBytes: 5 }, context)).rejects.toMatchObject({
      code: 'tool_failed',
      message: expect.stringContaining('maxBytes'),
    })
  })

  test('an error status is an error unless it is wanted as an answer', async () => {
    await expect(callOperation(get, { url: `${base}/missing` }, context)).rejects.toMatchObject({
      code: 'tool_failed',
      details: { status: 404, retryable: false, answer: 'gone' },
    })
    expect(await callOperation(get, { url: `${base}/missing`, onErrorStatus: 'return' }, context)).toMatchObject({
      status: 404,
      text: 'gone',
    })
  })

  test('no cookie is lost among several', async () => {
    expect((await callOperation(get, { url: `${base}/cookies` }, context)).headers['set-cookie']).toBe('a=1\nb=2')
  })

  test.each(['', 'example.com', 'file:///etc/passwd', 'javascript:alert(1)', '/x'])('"%s" is not an address', (url) => {
    expect(get.input.safeParse({ url }).error?.message).toContain('https://example.com/path')
  })
})

test('http.head tells status and headers, also of what is not there', async () => {
  expect(await callOperation(head, { url: `${base}/missing` }, context)).toMatchObject({ status: 404 })
  expect((await callOperation(head, { url: `${base}/binary` }, context)).headers['content-type']).toBe('image/png; a=b')
})

describe('http.request', () => {
  test('sends any method with JSON, text or bytes; what may change something carries the key', async () => {
    const send = async (input: object) => (await callOperation(request, { url: base, as: 'json', ...input }, context)).json as Echo
    expect(await send({ method: 'post', body: { json: { a: 1 } } })).toMatchObject({
      method: 'POST',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json', 'idempotency-key': 'run/1:step' },
    })
    expect(await send({ method: 'PATCH', body: { text: 'x' }, headers: { 'Idempotency-Key': 'mine' } })).toMatchObject({
      headers: { 'idempotency-key': 'mine' },
    })
    expect((await send({ method: 'PUT', body: { base64: binary.toString('base64') } })).body).toBe(binary.toString('latin1'))
    expect((await send({ method: 'OPTIONS' })).headers).not.toHaveProperty('idempotency-key')
  })

  test.each(['CONNECT', 'TRACE', 'A B', ''])('the method "%s" is refused', (method) => {
    expect(request.input.safeParse({ method, url: base }).success).toBe(false)
  })

  test('after a crash only a request that may come twice is sent again', async () => {
    if (request.idempotency.kind !== 'marker') throw new Error('http.request can tell no longer')
    const { find } = request.idempotency
    const input = (method: string, honoursIdempotencyKey = false) => request.input.parse({ method, url: base, honoursIdempotencyKey })
    for (const method of ['GET', 'PUT', 'DELETE']) expect(await find(input(method), context)).toBeUndefined()
    expect(await find(input('POST', true), context)).toBeUndefined()
    for (const method of ['POST', 'PATCH']) await expect(find(input(method), context)).rejects.toMatchObject({ code: 'effect_undecided' })
  })

  test('a POST that got no clear answer is not for retrying; one that was turned away is', async () => {
    const failing = createServer((asked, response) => (asked.url === '/429' ? response.writeHead(429).end() : asked.socket.destroy()))
    await once(failing.listen(0, '127.0.0.1'), 'listening')
    const url = `http://127.0.0.1:${(failing.address() as AddressInfo).port}`
    const post = (path: string, more = {}) => callOperation(request, { method: 'POST', url: `${url}${path}`, ...more }, context)
    await expect(post('/')).rejects.toMatchObject({ code: 'tool_failed', details: { retryable: false } })
    await expect(post('/429')).rejects.toMatchObject({ details: { retryable: true } })
    await expect(post('/', { honoursIdempotencyKey: true })).rejects.not.toMatchObject({ details: { retryable: false } })
    await new Promise((closed) => failing.close(closed))
  })
})

describe('http.download', () => {
  test('keeps the very bytes under their digest', async () => {
    const kept = await callOperation(download, { url: `${base}/binary` }, context)
    expect(kept).toMatchObject({ size: 4, mediaType: 'image/png' })
    expect(Buffer.from(await context.objects.get(kept.digest)).equals(binary)).toBe(true)
  })

  test('more than it may hold is an error, and nothing is kept', async () => {
    await expect(callOperation(download, { url: `${base}/long`, maxBytes: 99_999 }, context)).rejects.toMatchObject({
      details: { maxBytes: 99_999 },
    })
    expect(await callOperation(download, { url: `${base}/long`, maxBytes: 100_000 }, context)).toMatchObject({ size: 100_000 })
  })
})

test('what rules see of a request: host and port in one spelling, never path or query', () => {
  expect(get.resource?.(get.input.parse({ url: 'HTTPS://Example.COM./secret?token=1' }))).toEqual({
    kind: 'http',
    scheme: 'https',
    host: 'example.com',
    port: 443,
    method: 'GET',
  })
  expect(get.resource?.(get.input.parse({ url: 'http://[::1]:8080/' }))).toMatchObject({ host: '::1', port: 8080, scheme: 'http' })
})

test('the egress guard holds for every operation', async () => {
  for (const operation of httpAdapter.operations) {
    const input = { url: 'http://127.0.0.2/', ...(operation.name === 'http.request' && { method: 'GET' }) }
    await expect(operation.run(operation.input.parse(input), context), operation.name).rejects.toMatchObject({ code: 'egress_blocked' })
  }
})

faultConformance('http.get', (url, outside) => callOperation(get, { url, as: 'json' }, testContext({ client: null, fetch: outside })))
faultConformance('http.request', (url, outside) =>
  callOperation(request, { method: 'PUT', url, as: 'json' }, testContext({ client: null, fetch: outside })),
)
