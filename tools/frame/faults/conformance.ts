import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createEgress } from '@soma/kernel/egress/egress'
import { generate } from 'selfsigned'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const FAULTS: Record<string, RequestListener> = {
  '429': (_request, response) => response.writeHead(429, { 'retry-after': '17', 'x-request-id': 'abc' }).end('slow down'),
  '429-date': (_request, response) => response.writeHead(429, { 'retry-after': new Date(Date.now() + 60_000).toUTCString() }).end(),
  '500': (_request, response) => response.writeHead(500, { 'x-request-id': 'def' }).end('a'.repeat(100_000)),
  cut: (request, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': 1000 }).write('{"a":')
    setImmediate(() => request.socket.destroy())
  },
  malformed: (_request, response) => response.setHeader('content-type', 'application/json').end('<html>not JSON'),
}

/**
 * What any adapter that speaks HTTP promises when the other side fails. `call` makes one call that expects JSON from below `baseUrl`;
 * whatever path the adapter adds is answered with the fault.
 */
export function faultConformance(name: string, call: (baseUrl: string, outside: typeof fetch) => Promise<unknown>): void {
  describe(`${name} meets faults`, () => {
    const egress = createEgress({ allowPrivate: ['127.0.0.1'], maxBytes: 1_000_000, timeoutMilliseconds: 10_000, maxRedirects: 3 })
    const answer: RequestListener = (request, response) => {
      request.resume()
      FAULTS[request.url?.split('/')[1] ?? '']?.(request, response)
    }
    const plain = createServer(answer)
    let untrusted: Server
    const base = (fault: string) => `http://127.0.0.1:${(plain.address() as AddressInfo).port}/${fault}`

    beforeAll(async () => {
      const { private: key, cert } = await generate([{ name: 'commonName', value: '127.0.0.1' }])
      untrusted = createSecureServer({ key, cert }, answer)
      for (const server of [plain, untrusted]) await once(server.listen(0, '127.0.0.1'), 'listening')
    })
    afterAll(async () => {
      for (const server of [plain, untrusted]) await new Promise((closed) => server.close(closed).closeAllConnections())
      await egress.close()
    })

    test('too many requests: how long to wait is in the error', async () => {
      await expect(call(base('429'), egress.fetch)).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('17 seconds'),
        details: { status: 429, retryAfterSeconds: 17, retryable: true, requestId: 'abc' },
      })
      const dated: Error & { details?: { retryAfterSeconds?: number } } = await call(base('429-date'), egress.fetch).then(
        () => new Error('it passed'),
        (error) => error,
      )
      expect(dated.details?.retryAfterSeconds).toBeGreaterThan(50)
      expect(dated.details?.retryAfterSeconds).toBeLessThanOrEqual(60)
    })

    test('a server error keeps status and request id, and no more of the text than tells what it was', async () => {
      const error: Error & { details?: { answer?: string } } = await call(base('500'), egress.fetch).then(
        () => new Error('it passed'),
        (thrown) => thrown,
      )
      expect(error).toMatchObject({ code: 'tool_failed', details: { status: 500, requestId: 'def' } })
      expect(error.details?.answer?.length).toBe(2000)
    })

    test('a connection cut in the middle of the answer is an error, not a short answer', async () => {
      await expect(call(base('cut'), egress.fetch)).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('broke off'),
      })
    })

    test('an answer that is not JSON says so', async () => {
      await expect(call(base('malformed'), egress.fetch)).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('not JSON'),
        details: { retryable: false, answer: '<html>not JSON' },
      })
    })

    test('a certificate that nobody vouches for is refused', async () => {
      const url = `https://127.0.0.1:${(untrusted.address() as AddressInfo).port}/malformed`
      await expect(call(url, egress.fetch)).rejects.toMatchObject({
        code: 'tool_unavailable',
        message: expect.stringContaining('No trusted TLS'),
        details: { retryable: false },
      })
    })
  })
}
