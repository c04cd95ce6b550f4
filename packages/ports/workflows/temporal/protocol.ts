import type { RecordedEntry, RecordedError } from '../execution/record.ts'

/** What a run on Temporal is started with, besides its input. The same for a run that goes on from its record. */
export interface RunStart {
  tenant: string
  runId: string
  generation: number
  /** ISO 8601; the time of the record's first entry. */
  startedAt: string
  parent?: { runId: string; step: number }
  /** How many entries of the run's stream are in the journal: 0 for a new child, 1 for a new run, more for one that goes on. */
  recorded: number
  /** Milliseconds without a sign of life after which a worker's activity is given to another. */
  lossMilliseconds: number
}

/** One attempt at an activity; its input is an argument of its own. */
export interface StepRequest {
  tenant: string
  runId: string
  key: string
  attempt: number
  label?: string
  timeoutMilliseconds?: number
}

/** An activity fails only when its worker is lost: what the function threw is an outcome like any other, and ours to try again. */
export type StepOutcome = { output?: unknown } | { error: RecordedError }

/** Where entries belong: after the first `after` of the stream. */
export interface RecordHead {
  tenant: string
  runId: string
  generation: number
  after: number
}

/** Activities of the driver itself. */
export interface RecordActivities {
  'soma.record'(head: RecordHead, ...entries: RecordedEntry[]): Promise<void>
  /** The stream's entries after the first, `head.after` in all. */
  'soma.past'(head: RecordHead): Promise<RecordedEntry[]>
}

export const SIGNAL = { signal: 'signal', cancel: 'cancel' } as const
export const QUERY = { state: 'state', record: 'record' } as const

/** What a run saw and the journal may not hold yet. */
export interface UnrecordedPart {
  head: RecordHead
  entries: RecordedEntry[]
}

/** Ids of several platforms in one namespace differ by the task queue, and within one by tenant. */
export function workflowIdOf(taskQueue: string, tenant: string, runId: string): string {
  return `${taskQueue}/${tenant}/${runId}`
}
