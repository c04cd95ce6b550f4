import type { JournalEntry } from '@soma/contracts/journal'

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

export const isEnd = (entry: JournalEntry) => (END_KINDS as readonly string[]).includes(entry.kind)

/** A run that continued as new has a stream per generation, so each record stays short. */
export function streamOf(runId: string, generation: number): string {
  return generation === 1 ? `run/${runId}` : `run/${runId}/${generation}`
}

/** What an activity's effects are known by, the same on every attempt. */
export function stepKey(stream: string, step: number): string {
  return `${stream}#${step}`
}
