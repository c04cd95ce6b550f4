import { createNoopMeter, type Meter, type MeterProvider } from '@opentelemetry/api'
import { Counter } from 'prom-client'

/** While records are lost on and off, it is said no more often than that. */
const QUIET_MILLISECONDS = 60_000

export type Signal = 'spans' | 'logs'

/** Of this process; every registry shows it. */
export const exportedRecords = new Counter({
  name: 'telemetry_records_total',
  help: 'Spans and log lines for the OpenTelemetry collector, by whether they were sent or lost.',
  labelNames: ['signal', 'outcome'],
  registers: [],
})

/** Says once that records are being lost, and once that they arrive again. */
export type TellLoss = (text: string, fields: { signal: Signal; lost: number }) => void

/**
 * What to give the SDK's batches as their meter: only there do they say how many records were sent, how many the collector did not take,
 * and how many found the queue full.
 */
export function watchExport(signal: Signal, tell: TellLoss): MeterProvider {
  for (const outcome of ['sent', 'lost']) exportedRecords.inc({ signal, outcome }, 0)
  let lost = 0
  let isTold = false
  let toldAt = Number.NEGATIVE_INFINITY

  function count(records: number, isLost: boolean): void {
    exportedRecords.inc({ signal, outcome: isLost ? 'lost' : 'sent' }, records)
    if (isLost) lost += records
    if (isLost && !isTold && performance.now() - toldAt > QUIET_MILLISECONDS) {
      isTold = true
      toldAt = performance.now()
      tell('the OpenTelemetry collector does not take everything; what it does not take is lost', { signal, lost })
    } else if (!isLost && isTold) {
      isTold = false
      tell('the OpenTelemetry collector takes everything again', { signal, lost })
      lost = 0
    }
  }

  const meter: Meter = Object.create(createNoopMeter())
  meter.createCounter = () => ({ add: (records, attributes) => count(records, attributes?.['error.type'] !== undefined) })
  return { getMeter: () => meter }
}
