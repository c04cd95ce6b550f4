import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import { payloadText } from '../../journal/payload.ts'

/**
 * What a run's stream holds. A step is one thing the workflow asked for; steps are numbered in the order they were asked for, which
 * is the same at every replay. Kinds:
 *
 * | kind | when |
 * | --- | --- |
 * | `run.started` | first entry: workflow, input, parent |
 * | `step.completed`, `step.failed` | an activity's outcome; the only entry an activity needs |
 * | `step.retried` | an attempt failed and another follows at `until` |
 * | `timer.started`, `timer.fired` | a sleep, or the time-out of a wait |
 * | `child.started`, `child.completed`, `child.failed` | a child run; the outcome is appended together with the child's own end |
 * | `signal.received` | |
 * | `patch.marked` | the run passed a changed place in the code |
 * | `run.cancel_requested` | |
 * | `run.completed`, `run.failed`, `run.cancelled`, `run.continued` | the last entry |
 */
export interface StepPayload {
  step: number
  name: string
  label?: string
  input?: unknown
  output?: unknown
  error?: RecordedError
  attempt?: number
  /** Milliseconds since 1970. */
  until?: number
  runId?: string
}

/** An entry of a run's stream, before or after it is in the journal. */
export type RecordedEntry = Pick<JournalEntry, 'kind' | 'at' | 'payload'>

export interface RecordedError {
  code: string
  message: string
  details?: Record<string, unknown>
}

export interface StartedPayload {
  workflow: string
  input: unknown
  parent?: { runId: string; step: number }
  generation: number
}

export const END_KINDS = ['run.completed', 'run.failed', 'run.cancelled', 'run.continued'] as const

export const isEnd = (entry: RecordedEntry) => (END_KINDS as readonly string[]).includes(entry.kind)

/** A run that continued as new has a stream per generation, so each record stays short. */
export function streamOf(runId: string, generation: number): string {
  return generation === 1 ? `run/${runId}` : `run/${runId}/${generation}`
}

/** What an activity's effects are known by, the same on every attempt. */
export function stepKey(stream: string, step: number): string {
  return `${stream}#${step}`
}

const RUN_ID = /^[A-Za-z0-9._:~-]{1,200}$/

/** @throws SomaError `invalid_input` */
export function requireRunId(runId: string): void {
  if (RUN_ID.test(runId)) return
  throw new SomaError('invalid_input', `"${runId}" can't name a run: letters, digits and . _ : ~ - are allowed, up to 200.`)
}

export function unknownWorkflow(name: string, known: Iterable<string>): SomaError {
  return new SomaError('not_found', `No workflow "${name}" is registered. There are: ${[...known].join(', ')}.`, { workflow: name })
}

/** Gives the outcome that a run's last entry holds. */
export function settleFromEnd(end: RecordedEntry, resolve: (value: unknown) => void, reject: (error: unknown) => void): void {
  const { output, error } = end.payload as { output?: unknown; error?: RecordedError }
  if (end.kind === END_KINDS[0]) resolve(output)
  else reject(revive(error as RecordedError))
}

export function recordError(error: unknown): RecordedError {
  if (error instanceof SomaError)
    return { code: error.code, message: error.message, ...(Object.keys(error.details).length > 0 ? { details: error.details } : {}) }
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) }
}

export function revive(recorded: RecordedError): SomaError {
  return new SomaError(recorded.code as SomaError['code'], recorded.message, recorded.details ?? {})
}

/** A value as it comes back out of JSON. */
export function asRecorded(value: unknown): unknown {
  return value === undefined ? null : JSON.parse(JSON.stringify(value))
}

/** Why a payload can't be recorded, when it can't. */
export function problemOf(kind: string, payload: unknown): RecordedError | undefined {
  try {
    payloadText(kind, payload)
    return undefined
  } catch (error) {
    return recordError(error)
  }
}
