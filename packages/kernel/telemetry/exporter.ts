import { defaultResource, detectResources, envDetector, type Resource, resourceFromAttributes } from '@opentelemetry/resources'

/** Of one process: what it is called in traces and logs, and where they go. */
export interface ExportOptions {
  /** Base URL of an OTLP collector; spans go to `<endpoint>/v1/traces`, logs to `<endpoint>/v1/logs`. */
  otlpEndpoint?: string
  otlpHeaders?: Record<string, string>
  version: string
  /** Services that this process runs; empty: all. */
  services?: readonly string[]
}

/**
 * Records that wait while the collector is away or slow; more are lost. A record takes about 1 kB.
 * Batches go one after the other, so this and one batch is all that is held.
 */
export const BATCHES = { maxQueueSize: 4096, maxExportBatchSize: 512, scheduledDelayMillis: 1000, exportTimeoutMillis: 5000 }
/** A stop does not wait longer for a collector. */
const FAREWELL_MILLISECONDS = 2000

/** What the library for one signal needs to know. */
export function exporterOptions({ otlpEndpoint = '', otlpHeaders = {} }: ExportOptions, path: 'v1/traces' | 'v1/logs') {
  return {
    url: `${otlpEndpoint.replace(/\/+$/, '')}/${path}`,
    headers: otlpHeaders,
    timeoutMillis: BATCHES.exportTimeoutMillis,
    concurrencyLimit: 1,
  }
}

/** Who sends: the service that runs alone here, or `soma`; the version; and what OTEL_RESOURCE_ATTRIBUTES adds. */
export function describeProcess({ services = [], version }: ExportOptions): Resource {
  const name = services.length === 1 ? services[0] : 'soma'
  return defaultResource()
    .merge(resourceFromAttributes({ 'service.name': name, 'service.namespace': 'soma', 'service.version': version }))
    .merge(detectResources({ detectors: [envDetector] }))
}

/** Sends what waits, unless that takes too long. */
export async function shutDown(provider: { shutdown(): Promise<void> }): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, FAREWELL_MILLISECONDS)
  })
  await Promise.race([provider.shutdown(), late])
  clearTimeout(timer)
}
