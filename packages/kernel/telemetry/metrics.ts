import { setTimeout as pass } from 'node:timers/promises'
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import { exportedRecords } from './export-loss.ts'

interface Described {
  name: string
  help: string
  labels?: readonly string[]
}

export interface HttpObservation {
  service: string
  route: string
  method: string
  status: number
  seconds: number
}

/** The figures of one process. Asking twice for a name gives the same metric, so two services may share one. */
export interface Metrics {
  counter(described: Described): Counter
  gauge(described: Described): Gauge
  /** A gauge that is read when it is asked for. While reading fails, or takes longer than two seconds, there is no value. */
  gaugeOf(described: Described, read: () => Promise<number>): void
  /** @param buckets upper bounds in the metric's unit; default 1 ms to 60 s for metrics in seconds */
  histogram(described: Described & { buckets?: readonly number[] }): Histogram
  observeRequest(observation: HttpObservation): void
  /** What /metrics answers. */
  exposition(): Promise<{ contentType: string; text: string }>
  registry: Registry
}

/** Prometheus gives up a scrape after ten seconds, with all that is in it. */
const PATIENCE_MILLISECONDS = 2000
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

export function createMetrics(options: { processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry()
  if (options.processMetrics ?? true) {
    collectDefaultMetrics({ register: registry })
    registry.registerMetric(exportedRecords)
  }
  const own = ({ name, help, labels = [] }: Described) => ({ name, help, labelNames: [...labels], registers: [registry] })
  const once = <Metric>(name: string, make: () => Metric) => (registry.getSingleMetric(name) as Metric | undefined) ?? make()

  const counter: Metrics['counter'] = (described) => once(described.name, () => new Counter(own(described)))
  const gauge: Metrics['gauge'] = (described) => once(described.name, () => new Gauge(own(described)))
  const gaugeOf: Metrics['gaugeOf'] = (described, read) =>
    void once(
      described.name,
      () =>
        new Gauge({
          ...own(described),
          async collect() {
            const value = await Promise.race([read(), pass(PATIENCE_MILLISECONDS, undefined, { ref: false })]).catch(() => undefined)
            if (value === undefined) this.remove()
            else this.set(value)
          },
        }),
    )
  const histogram: Metrics['histogram'] = (described) =>
    once(described.name, () => new Histogram({ ...own(described), buckets: [...(described.buckets ?? SECONDS)] }))

  const labels = ['service', 'method', 'route', 'status'] as const
  const requests = counter({ name: 'http_requests_total', help: 'Requests answered.', labels })
  const durations = histogram({ name: 'http_request_duration_seconds', help: 'From the first byte in to the last byte out.', labels })

  return {
    counter,
    gauge,
    gaugeOf,
    histogram,
    registry,
    observeRequest: ({ service, route, method, status, seconds }) => {
      const values = { service, method, route, status: String(status) }
      requests.inc(values)
      durations.observe(values, seconds)
    },
    exposition: async () => ({ contentType: registry.contentType, text: await registry.metrics() }),
  }
}
