import { ROOT_CONTEXT, TraceFlags, trace } from '@opentelemetry/api'
import { type AnyValue, type LogRecord, SeverityNumber } from '@opentelemetry/api-logs'
import type { DestinationStream } from 'pino'
import { type TellLoss, watchExport } from './export-loss.ts'
import { BATCHES, describeProcess, type ExportOptions, exporterOptions, shutDown } from './exporter.ts'

const SEVERITIES: Readonly<Record<string, SeverityNumber>> = {
  trace: SeverityNumber.TRACE,
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
  fatal: SeverityNumber.FATAL,
}

interface Line {
  level: string
  time: string
  msg?: string
  trace_id?: string
  span_id?: string
  err?: { type?: string; message?: string; stack?: string }
  [field: string]: AnyValue
}

export interface LogExport {
  /** Takes a line of the log, as it was written: without secrets. Never waits. */
  add(line: string): void
  /** Sends what has not been sent. */
  close(): Promise<void>
}

/** Log lines as OpenTelemetry records, to a collector, in batches. */
export async function openLogExport(options: ExportOptions, tell: TellLoss): Promise<LogExport> {
  const [{ LoggerProvider, BatchLogRecordProcessor }, { OTLPLogExporter }] = await Promise.all([
    import('@opentelemetry/sdk-logs'),
    import('@opentelemetry/exporter-logs-otlp-http'),
  ])
  const batches = new BatchLogRecordProcessor({
    ...BATCHES,
    exporter: new OTLPLogExporter(exporterOptions(options, 'v1/logs')),
    selfObsMeterProvider: watchExport('logs', tell),
  })
  const provider = new LoggerProvider({ resource: describeProcess(options), processors: [batches] })
  const records = provider.getLogger('soma', options.version)
  return {
    add: (line) => records.emit(recordOf(JSON.parse(line))),
    close: () => shutDown(provider),
  }
}

/** A destination that also gives each line to the export. `flush` of the logger sends what waits there. */
export function alsoTo(exported: LogExport, destination: DestinationStream): DestinationStream & { flush(done: () => void): void } {
  return {
    write: (line) => {
      destination.write(line)
      exported.add(line)
    },
    flush: (done) => void exported.close().finally(done),
  }
}

function recordOf({ level, time, msg, trace_id, span_id, err, ...fields }: Line): LogRecord {
  return {
    timestamp: Date.parse(time),
    severityText: level,
    severityNumber: SEVERITIES[level] ?? SeverityNumber.UNSPECIFIED,
    body: msg ?? '',
    attributes: { ...fields, ...(err ? exceptionOf(err) : {}) },
    context:
      trace_id && span_id
        ? trace.setSpanContext(ROOT_CONTEXT, { traceId: trace_id, spanId: span_id, traceFlags: TraceFlags.SAMPLED })
        : ROOT_CONTEXT,
  }
}

/** Named as OpenTelemetry's conventions for exceptions say; what else the error holds stays beside it. */
function exceptionOf({ type, message, stack, ...rest }: NonNullable<Line['err']>) {
  return { 'exception.type': type, 'exception.message': message, 'exception.stacktrace': stack, ...rest }
}
