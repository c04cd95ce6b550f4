import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { SERVICES } from '@soma/cli/services'
import { fromStack } from '@soma/ports/testing'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { freePort, openPlatformProcesses, type PlatformProcess, type PlatformProcesses } from './platform-process.ts'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const WITHOUT_TOOLS = SERVICES.map(({ name }) => name).filter((name) => name !== 'tool-service')

interface CollectedSpan {
  service: string
  traceId: string
  spanId: string
  parentSpanId: string
  name: string
}
interface CollectedLog {
  service: string
  traceId: string
  severity: string
  text: string
  attributes: Record<string, string>
}
type Attributes = { key: string; value: { stringValue?: string; intValue?: string } }[]

/** What the collector has written, of one trace; each line of its files is one OTLP request. */
async function collected<Kind extends 'Spans' | 'Logs'>(kind: Kind, traceId: string) {
  const text = await readFile(fromStack(kind === 'Spans' ? 'OTEL_COLLECTOR_TRACES' : 'OTEL_COLLECTOR_LOGS'), 'utf8').catch(() => '')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  return whole
    .split('\n')
    .filter((line) => line.includes(traceId))
    .flatMap((line) => JSON.parse(line)[`resource${kind}`] as Record<string, unknown>[])
    .flatMap((resource) => {
      const { service } = { service: valuesOf((resource.resource as { attributes: Attributes }).attributes)['service.name'] ?? '' }
      const scopes = resource[`scope${kind}`] as Record<string, Record<string, unknown>[]>[]
      return scopes.flatMap((scope) => scope[kind === 'Spans' ? 'spans' : 'logRecords'] ?? []).map((record) => ({ service, record }))
    })
    .filter(({ record }) => record.traceId === traceId)
}

async function spansOf(traceId: string): Promise<CollectedSpan[]> {
  return (await collected('Spans', traceId)).map(({ service, record }) => ({ service, ...(record as Omit<CollectedSpan, 'service'>) }))
}

async function logsOf(traceId: string): Promise<CollectedLog[]> {
  return (await collected('Logs', traceId)).map(({ service, record }) => ({
    service,
    traceId,
    severity: record.severityText as string,
    text: (record.body as { stringValue: string }).stringValue,
    attributes: valuesOf(record.attributes as Attributes),
  }))
}

function valuesOf(attributes: Attributes): Record<string, string> {
  return Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? '']))
}

/** A trace that a client began. */
function newTrace(): { traceId: string; headers: { traceparent: string } } {
  const traceId = randomBytes(16).toString('hex')
  return { traceId, headers: { traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` } }
}

describe('telemetry: otel-collector', () => {
  let platform: PlatformProcesses
  let gateway: PlatformProcess
  beforeAll(async () => {
    platform = await openPlatformProcesses({ SOMA_OTLP_ENDPOINT: fromStack('SOMA_OTLP_ENDPOINT') })
    const [gatewayPort, toolsPort] = [await freePort(), await freePort()]
    gateway = await platform.start(WITHOUT_TOOLS, { port: gatewayPort, peerUrl: `http://127.0.0.1:${toolsPort}` })
    await platform.start(['tool-service'], { port: toolsPort, peerUrl: gateway.url })
  })
  afterAll(() => platform?.close())

  test('a request gives a span and a line of the log, under the trace that its client began', async () => {
    const { traceId, headers } = newTrace()
    expect((await platform.call(gateway.url, '/v1/projects', { headers })).status).toBe(200)
    await expect.poll(() => spansOf(traceId)).toContainEqual(expect.objectContaining({ name: 'GET /v1/projects', service: 'soma' }))
    await expect
      .poll(() => logsOf(traceId))
      .toContainEqual(
        expect.objectContaining({
          service: 'soma',
          severity: 'info',
          text: 'request',
          attributes: expect.objectContaining({ route: '/v1/projects', status: '200' }),
        }),
      )
  })

  test('a call that goes on to another process is one trace, its spans below each other, down to the action', async () => {
    const { traceId, headers } = newTrace()
    const call = await platform.call(gateway.url, '/v1/operations/git.inspect/execute', {
      headers,
      body: { input: { repository: REPOSITORY } },
    })
    expect(call.status).toBe(200)
    // From the action upwards; the span of a process is sent when it ended, so the outer ones come last.
    const servicesAbove = async () => {
      const spans = await spansOf(traceId)
      const services: string[] = []
      let span = spans.find(({ name }) => name === 'execute_tool git.inspect')
      for (; span; span = spans.find(({ spanId }) => spanId === span?.parentSpanId)) services.push(span.service)
      return services
    }
    await expect.poll(servicesAbove).toEqual(['tool-service', 'tool-service', 'soma'])
    await expect.poll(async () => new Set((await logsOf(traceId)).map(({ service }) => service))).toEqual(new Set(['soma', 'tool-service']))
  })

  test('no credentials are in what the collector gets', async () => {
    const { traceId, headers } = newTrace()
    const key = `soma_${'0a'.repeat(12)}_${'Zz_-'.repeat(10)}abc`
    await platform.call(gateway.url, `/v1/capsules/${key}`, { headers })
    await expect.poll(() => logsOf(traceId)).not.toEqual([])
    expect(JSON.stringify(await logsOf(traceId))).not.toContain(key)
  })

  test('while the collector is silent or away requests go on, what can not be sent is let go and counted, and what comes after it is back arrives', async () => {
    const proxy = await openProxy(Number(new URL(fromStack('SOMA_OTLP_ENDPOINT')).port))
    const alone = await openPlatformProcesses({ SOMA_OTLP_ENDPOINT: proxy.url })
    onTestFinished(() => Promise.all([alone.close(), proxy.close()]).then(() => undefined))
    const served = await alone.start([])
    for (const mode of ['silent', 'away'] as const) {
      proxy.become(mode)
      const before = await readMetrics(served.url)
      // Did one of them wait for a collector that never answers, the test would not end in its time.
      await ask(alone, served.url, 201)
      await expect.poll(async () => lost(await readMetrics(served.url)) - lost(before), { timeout: 60_000 }).toBeGreaterThan(100)
    }
    proxy.become('there')
    const arrives = async () => {
      const { traceId, headers } = newTrace()
      await alone.call(served.url, '/v1/projects', { headers })
      const collectedOf = async () => [(await spansOf(traceId)).length > 0, (await logsOf(traceId)).length > 0]
      await expect.poll(collectedOf, { timeout: 5000 }).toEqual([true, true])
    }
    await vi.waitFor(arrives, { timeout: 60_000 })
    const { stderr } = await served.program.stop('SIGTERM')
    const told = stderr.split('\n').filter((line) => line.includes('what it does not take is lost'))
    expect(told.length).toBeGreaterThanOrEqual(2)
    expect(told.length).toBeLessThanOrEqual(6)
  }, 240_000)
})

/** So many requests, one after the other, all answered. */
async function ask(platform: PlatformProcesses, url: string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    const answer = await platform.call(url, '/v1/projects')
    expect(answer.status).toBe(200)
    await answer.arrayBuffer()
  }
}

async function readMetrics(url: string): Promise<string> {
  return (await fetch(new URL('/metrics', url))).text()
}

function lost(metrics: string): number {
  const counts = metrics.matchAll(/^telemetry_records_total\{.*outcome="lost"\} (\d+)/gm)
  return [...counts].reduce((total, [, count]) => total + Number(count), 0)
}

interface Proxy {
  url: string
  become(mode: 'there' | 'silent' | 'away'): void
  close(): void
}

/** Stands before the collector: passes on, takes everything and never answers, or refuses. */
async function openProxy(port: number): Promise<Proxy> {
  let mode: Parameters<Proxy['become']>[0] = 'there'
  const open = new Set<Socket>()
  const server: Server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket)).on('error', () => socket.destroy())
    if (mode === 'away') socket.destroy()
    else if (mode === 'silent') socket.resume()
    else {
      const there = connect(port, '127.0.0.1').on('error', () => socket.destroy())
      socket.pipe(there).pipe(socket)
    }
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`,
    become: (next) => {
      mode = next
      for (const socket of open) socket.destroy()
    },
    close: () => {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}
