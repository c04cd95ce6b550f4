import type { JournalEntry } from '@soma/contracts/journal'
import type { ActivityFunction, RunDescription, WorkflowDefinition } from '@soma/contracts/workflow'

export interface WorkflowsOptions {
  // biome-ignore lint/suspicious/noExplicitAny: definitions with different inputs share one registry
  workflows: readonly WorkflowDefinition<any, any>[]
  activities: Readonly<Record<string, ActivityFunction>>
}

/** A departure of a replay from the record. */
export interface Departure {
  /** Ordinal of the command in the run, from 1. */
  step: number
  label?: string
  expected: string
  got: string
}

export interface ReplayResult {
  output?: unknown
  error?: { code: string; message: string }
  /** Commands that matched the record. */
  matched: number
  departure?: Departure
  /** True when output or error are the ones recorded and nothing departed. */
  same: boolean
}

/** Durable workflows. Two engines run the same definitions: the embedded journal engine and Temporal. */
export interface Workflows {
  /** Starts the engine: takes ownership and goes on with every open run. */
  start(options: WorkflowsOptions): Promise<void>
  /** Starts a run. The same `runId` again gives the run that is there (idempotent), whatever the input. */
  startRun(request: { workflow: string; runId: string; tenant: string; input: unknown }): Promise<RunDescription>
  signal(request: { tenant: string; runId: string; name: string; payload?: unknown }): Promise<void>
  cancel(request: { tenant: string; runId: string; reason?: string }): Promise<void>
  /** What the run published last, undefined when it published nothing. */
  query(request: { tenant: string; runId: string }): Promise<unknown>
  describe(request: { tenant: string; runId: string }): Promise<RunDescription | undefined>
  list(request: {
    tenant: string
    workflow?: string
    status?: RunDescription['status']
    after?: string
    limit?: number
  }): Promise<RunDescription[]>
  /** Waits for the end. @throws `workflow_failed`, `cancelled` */
  result<Output>(request: { tenant: string; runId: string }): Promise<Output>
  /** The record, as journal entries. */
  history(request: { tenant: string; runId: string }): Promise<JournalEntry[]>
  /** Runs the workflow again from its record without touching the world. `input` replaces the recorded input, to see where it departs. */
  replay(request: { tenant: string; runId: string; input?: unknown }): Promise<ReplayResult>
  /** Called when a run publishes state or ends. Returns how to stop. */
  onChange(listener: (change: { tenant: string; runId: string; state?: unknown; status: RunDescription['status'] }) => void): () => void
  /** Of the engine’s server, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  /** Stops taking steps; what runs is parked and goes on at the next start. */
  stop(): Promise<void>
}
