import {
  type Attributes,
  type Context,
  context,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { BatchSpanProcessor, NodeTracerProvider, type ReadableSpan, type SpanProcessor } from '@opentelemetry/sdk-trace-node'
import { type TellLoss, watchExport } from './export-loss.ts'
import { BATCHES, describeProcess, type ExportOptions, exporterOptions, shutDown } from './exporter.ts'

/** Attribute that says whose span it is, so that one tenant never sees another's. */
export const TENANT_ATTRIBUTE = 'soma.tenant'

/** A finished span, as the console shows it. */
export interface RecordedSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  /** ISO 8601, milliseconds. */
  startedAt: string
  durationMilliseconds: number
  attributes: Attributes
  status: 'unset' | 'ok' | 'error'
  message?: string
}

export interface TracingOptions extends ExportOptions {
  /** Spans kept in memory. */
  recentSpans: number
  /** Told when the collector does not take the spans. */
  tellLoss?: TellLoss
}

export interface Tracing {
  /** Begins the span of a request that came with these headers; W3C traceparent is honoured. */
  startRequest(name: string, headers: Record<string, unknown>): { span: Span; context: Context }
  /** Runs `work` in a span of its own, a child of the active one. What it throws marks the span and is thrown on. */
  inSpan<Result>(name: string, attributes: Attributes, work: (span: Span) => Promise<Result>): Promise<Result>
  /** Newest first. */
  recentSpans(filter?: { tenant?: string; traceId?: string; limit?: number }): RecordedSpan[]
  /** Sends what has not been sent. */
  close(): Promise<void>
}

/** Headers that carry the active span to another process. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {}
  propagation.inject(context.active(), headers)
  return headers
}

/** `traceparent` of a span: version, trace, span, flags (W3C Trace Context, section 3.2). */
export function traceparentOf(span: Span): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}

export function activeTrace(): { traceId: string; spanId: string } | undefined {
  return trace.getSpan(context.active())?.spanContext()
}

export async function createTracing(options: TracingOptions): Promise<Tracing> {
  const ring = createRing(options.recentSpans)
  const processors: SpanProcessor[] = [ring.processor]
  if (options.otlpEndpoint) processors.push(await exporting(options))
  const provider = new NodeTracerProvider({ resource: describeProcess(options), spanProcessors: processors })
  // Sets the propagator and the context manager of the process; a second registration leaves the first in place.
  provider.register()
  const tracer = provider.getTracer('soma', options.version)

  return {
    startRequest: (name, headers) => {
      const parent = propagation.extract(ROOT_CONTEXT, headers)
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, parent)
      return { span, context: trace.setSpan(parent, span) }
    },
    inSpan: (name, attributes, work) =>
      tracer.startActiveSpan(name, { attributes }, async (span) => {
        try {
          return await work(span)
        } catch (error) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.message : String(error) })
          throw error
        } finally {
          span.end()
        }
      }),
    recentSpans: ring.read,
    close: () => shutDown(provider),
  }
}

async function exporting(options: TracingOptions): Promise<SpanProcessor> {
  // Loaded only when there is somewhere to send to: it takes longer to import than the rest of the telemetry.
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http')
  const watched = { ...BATCHES, selfObsMeterProvider: watchExport('spans', options.tellLoss ?? (() => undefined)) }
  return new BatchSpanProcessor(new OTLPTraceExporter(exporterOptions(options, 'v1/traces')), watched)
}

function createRing(size: number) {
  const spans: ReadableSpan[] = []
  let next = 0
  const processor: SpanProcessor = {
    onStart: () => undefined,
    onEnd: (span) => {
      if (size === 0) return
      spans[next] = span
      next = (next + 1) % size
    },
    forceFlush: async () => undefined,
    shutdown: async () => undefined,
  }
  const newestFirst = () => [...spans.slice(next), ...spans.slice(0, next)].reverse()
  const read: Tracing['recentSpans'] = ({ tenant, traceId, limit = 200 } = {}) =>
    newestFirst()
      .filter((span) => tenant === undefined || span.attributes[TENANT_ATTRIBUTE] === tenant)
      .filter((span) => traceId === undefined || span.spanContext().traceId === traceId)
      .slice(0, limit)
      .map(recorded)
  return { processor, read }
}

const STATUS = { [SpanStatusCode.UNSET]: 'unset', [SpanStatusCode.OK]: 'ok', [SpanStatusCode.ERROR]: 'error' } as const

function recorded(span: ReadableSpan): RecordedSpan {
  const milliseconds = ([seconds, nanoseconds]: readonly [number, number]) => seconds * 1000 + nanoseconds / 1e6
  return {
    traceId: span.spanContext().traceId,
    spanId: span.spanContext().spanId,
    parentSpanId: span.parentSpanContext?.spanId,
    name: span.name,
    startedAt: new Date(milliseconds(span.startTime)).toISOString(),
    durationMilliseconds: milliseconds(span.duration),
    attributes: span.attributes,
    status: STATUS[span.status.code],
    message: span.status.message,
  }
}
