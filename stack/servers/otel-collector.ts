import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cache } from '../cache.ts'
import { buildGo } from '../install/go.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = '0.165.0'
const program = (cache: Cache) => buildGo(cache, 'otel-collector', VERSION)

/** An OpenTelemetry Collector that takes traces and logs by OTLP over HTTP and writes them to files, one JSON document a line. */
export const otelCollector = defineServer({
  name: 'otel-collector',
  summary: 'Traces and logs',
  version: VERSION,
  ports: ['otlp', 'health'],
  async install(cache) {
    await program(cache)
  },
  async start(place, cache) {
    const settings = join(place.folder, 'collector.json')
    await writeFile(settings, JSON.stringify(settingsOf(place)))
    await place.run({ name: 'otel-collector', command: await program(cache), args: [`--config=${settings}`] })
  },
  async checkReady(place) {
    const { status } = await fetch(`http://127.0.0.1:${place.port('health')}/`, { signal: AbortSignal.timeout(2000) })
    if (status !== 200) throw new Error(`The collector says ${status} of itself.`)
  },
  env: (place) => ({
    SOMA_OTLP_ENDPOINT: `http://127.0.0.1:${place.port('otlp')}`,
    OTEL_COLLECTOR_TRACES: tracesFile(place),
    OTEL_COLLECTOR_LOGS: logsFile(place),
  }),
  readVersion: async (place, cache) => {
    await otelCollector.checkReady(place)
    const text = await cache.run(await program(cache), ['--version'])
    return text.split(' ').at(-1) as string
  },
})

const tracesFile = (place: Place) => join(place.folder, 'traces.jsonl')
const logsFile = (place: Place) => join(place.folder, 'logs.jsonl')

/** YAML, of which JSON is a part. */
function settingsOf(place: Place) {
  const pipeline = (exporter: string) => ({ receivers: ['otlp'], processors: ['batch'], exporters: [exporter] })
  // The newest 20 MB of each: the stack's folder does not grow with the tests.
  const file = (path: string) => ({ path, flush_interval: '100ms', rotation: { max_megabytes: 20, max_backups: 1 } })
  return {
    receivers: { otlp: { protocols: { http: { endpoint: `127.0.0.1:${place.port('otlp')}` } } } },
    processors: { batch: { timeout: '100ms' } },
    exporters: { 'file/traces': file(tracesFile(place)), 'file/logs': file(logsFile(place)) },
    extensions: { health_check: { endpoint: `127.0.0.1:${place.port('health')}` } },
    service: {
      extensions: ['health_check'],
      pipelines: { traces: pipeline('file/traces'), logs: pipeline('file/logs') },
      // Its own metrics would take a port of their own.
      telemetry: { metrics: { level: 'none' }, logs: { level: 'warn' } },
    },
  }
}
