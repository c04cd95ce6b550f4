import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { createTracing, traceHeaders } from './tracing.ts'

test('the ring keeps the newest spans and no more', async () => {
  const tracing = await createTracing({ version: 'test', recentSpans: 3 })
  for (const name of ['a', 'b', 'c', 'd', 'e']) await tracing.inSpan(name, {}, async () => undefined)
  expect(tracing.recentSpans().map((span) => span.name)).toEqual(['e', 'd', 'c'])
  expect(tracing.recentSpans({ limit: 1 }).map((span) => span.name)).toEqual(['e'])
  const none = await createTracing({ version: 'test', recentSpans: 0 })
  await none.inSpan('a', {}, async () => undefined)
  expect(none.recentSpans()).toEqual([])
})

test('work that throws marks its span and throws on', async () => {
  const tracing = await createTracing({ version: 'test', recentSpans: 3 })
  await expect(tracing.inSpan('a', { 'soma.tenant': 'acme' }, async () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  expect(tracing.recentSpans({ tenant: 'acme' })).toMatchObject([{ name: 'a', status: 'error', message: 'no' }])
})

test('the active span goes along to another process', async () => {
  const tracing = await createTracing({ version: 'test', recentSpans: 3 })
  await tracing.inSpan('a', {}, async (span) => {
    const { traceId, spanId } = span.spanContext()
    expect(traceHeaders()).toEqual({ traceparent: `00-${traceId}-${spanId}-01` })
  })
  expect(traceHeaders()).toEqual({})
})

test('spans reach a collector, with its headers', async () => {
  const received: { url?: string; key?: unknown; body: string }[] = []
  const collector = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      received.push({ url: request.url, key: request.headers['x-key'], body })
      response.end('{}')
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => collector.once('listening', resolve))
  const otlpEndpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/`
  const tracing = await createTracing({ version: 'test', recentSpans: 3, otlpEndpoint, otlpHeaders: { 'x-key': 'k' } })
  await tracing.inSpan('exported', {}, async () => undefined)
  await tracing.close()
  expect(received).toMatchObject([{ url: '/v1/traces', key: 'k', body: expect.stringContaining('exported') }])
  collector.close()
})
