import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { BATCHES } from './exporter.ts'
import { createLogger, type Logger } from './log.ts'
import { createMetrics } from './metrics.ts'
import { createTracing } from './tracing.ts'

let collector: Server | undefined
afterEach(() => collector?.close())

/** Takes what OTLP brings; the real one is in the tests on the stack. */
async function openCollector(): Promise<{ otlpEndpoint: string; bodies: string[] }> {
  const bodies: string[] = []
  collector = createServer(async (request, response) => {
    bodies.push(Buffer.concat(await request.toArray()).toString())
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  return { otlpEndpoint: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`, bodies }
}

async function openLog(otlpEndpoint: string): Promise<{ log: Logger; lines: string[] }> {
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const log = await createLogger({ level: 'info', format: 'json' }, destination, {
    otlpEndpoint,
    version: '1.2.3',
    services: ['orchestrator'],
  })
  return { log, lines }
}

const flush = (log: Logger) => new Promise<void>((resolve) => log.flush(() => resolve()))

test('a line is written where it was, and reaches the collector with its level, trace and fields, without secrets', async () => {
  const { otlpEndpoint, bodies } = await openCollector()
  const { log, lines } = await openLog(otlpEndpoint)
  const tracing = await createTracing({ version: 'test', recentSpans: 1 })
  const { traceId, spanId } = await tracing.inSpan('work', {}, async (span) => {
    log.warn({ part: 'sql', password: 'pw-1', err: new TypeError('refused') }, 'not so good')
    return span.spanContext()
  })
  await flush(log)
  expect(lines).toHaveLength(1)
  const [body] = bodies as [string]
  expect(body).not.toContain('pw-1')
  const { resource, scopeLogs } = JSON.parse(body).resourceLogs[0]
  expect(resource.attributes).toContainEqual({ key: 'service.name', value: { stringValue: 'orchestrator' } })
  expect(scopeLogs[0].logRecords).toMatchObject([
    { severityText: 'warn', severityNumber: 13, body: { stringValue: 'not so good' }, traceId, spanId },
  ])
  expect(scopeLogs[0].logRecords[0].attributes).toEqual(
    expect.arrayContaining([
      { key: 'part', value: { stringValue: 'sql' } },
      { key: 'exception.type', value: { stringValue: 'TypeError' } },
      { key: 'exception.message', value: { stringValue: 'refused' } },
    ]),
  )
})

test('without a collector nothing is kept beyond the queue, what is lost is counted, and it is said once', async () => {
  const { otlpEndpoint } = await openCollector()
  collector?.close()
  const { log, lines } = await openLog(otlpEndpoint)
  const written = BATCHES.maxQueueSize * 3
  for (let index = 0; index < written; index++) log.info({ index }, 'a line')
  const losses = () => lines.filter((line) => line.includes('is lost'))
  expect(losses()).toHaveLength(1)
  expect(JSON.parse(losses()[0] as string)).toMatchObject({ level: 'warn', signal: 'logs' })
  expect(lines).toHaveLength(written + 1)
  const { text } = await createMetrics().exposition()
  const lost = Number(/^telemetry_records_total\{signal="logs",outcome="lost"\} (\d+)/m.exec(text)?.[1])
  expect(lost).toBeGreaterThanOrEqual(written - BATCHES.maxQueueSize - BATCHES.maxExportBatchSize)
  const began = performance.now()
  await flush(log)
  expect(performance.now() - began).toBeLessThan(10_000)
})

test('that it arrives again is said too', async () => {
  const { otlpEndpoint } = await openCollector()
  const { log, lines } = await openLog(otlpEndpoint)
  for (let index = 0; index < BATCHES.maxQueueSize * 2; index++) log.info('more than the queue holds')
  await expect.poll(() => lines.filter((line) => line.includes('takes everything again')), { timeout: 10_000 }).toHaveLength(1)
  await flush(log)
})
