/**
 * What a workflow may do. A workflow is `(context, input) => Promise<output>` in a file free of I/O; the same file runs on the
 * embedded journal engine and on Temporal. All it learns of the world comes through the context, so that its record is enough to
 * run it again to the same point.
 */
export interface WorkflowContext {
  readonly runId: string
  readonly tenant: string
  /** Calls the world. The outcome is recorded once; after a crash the workflow gets the record instead of a second call. */
  activity<Output = unknown>(name: string, input: unknown, options?: ActivityOptions): Promise<Output>
  /** Milliseconds. Holds across restarts: a timer that ran out while nothing ran fires at once. */
  sleep(milliseconds: number): Promise<void>
  /** Waits for the next signal by that name that nobody took yet; undefined after `timeoutMilliseconds`. */
  waitForSignal<Payload = unknown>(name: string, options?: { timeoutMilliseconds?: number }): Promise<Payload | undefined>
  /** Makes the state visible to `query`. Not recorded: it follows from the record. */
  publishState(state: unknown): void
  /** Runs another workflow as part of this one: cancelled with it, its failure is ours. */
  child<Output = unknown>(workflow: string, input: unknown, options?: { runId?: string }): Promise<Output>
  /** Runs functions at once, at the most `concurrency` of them; gives results in the order given; the first failure wins. */
  all<T>(tasks: readonly (() => Promise<T>)[], options?: { concurrency?: number }): Promise<T[]>
  /** Time of the last recorded thing that this run saw, milliseconds since 1970. */
  now(): number
  /** A UUID that is the same whenever the run is replayed. */
  uuid(): string
  /** True for runs that started after the change `id` was made in the code, false for those that passed the place before. */
  patched(id: string): Promise<boolean>
  /** Ends this run and goes on as a new one with an empty record. Never returns. */
  continueAsNew(input: unknown): Promise<never>
  /** True once cancellation was asked for. Awaiting anything then throws `cancelled`, outside of `uncancellable`. */
  readonly cancelRequested: boolean
  /** Cleans up: what is awaited through the context that `task` gets goes on although the run was cancelled. */
  uncancellable<T>(task: (context: WorkflowContext) => Promise<T>): Promise<T>
}

export interface ActivityOptions {
  /** Milliseconds for one attempt. Default 10 minutes. */
  timeoutMilliseconds?: number
  retry?: {
    /** Attempts in all, the first included. Default 1. */
    attempts: number
    /** Milliseconds before the second attempt; doubles after. Default 1000. */
    backoffMilliseconds?: number
  }
  /** A name for people and for `soma replay`: the step's id. */
  label?: string
}

// biome-ignore lint/suspicious/noExplicitAny: workflows with different inputs are kept in one registry; `defineWorkflow()` keeps the types
export type WorkflowFunction<Input = any, Output = any> = (context: WorkflowContext, input: Input) => Promise<Output>

export interface WorkflowDefinition<Input = unknown, Output = unknown> {
  name: string
  /** URL of the module that exports the definition (`import.meta.url`): an engine may load it again, into a sandbox of its own. */
  module: string
  run: WorkflowFunction<Input, Output>
}

export function defineWorkflow<Input, Output>(definition: WorkflowDefinition<Input, Output>): WorkflowDefinition<Input, Output> {
  return definition
}

/** What an activity gets besides its input. */
export interface ActivityContext {
  tenant: string
  runId: string
  /** `run + step`: the same on every attempt and after every crash. */
  key: string
  /** From 1. */
  attempt: number
  signal: AbortSignal
}

// biome-ignore lint/suspicious/noExplicitAny: see WorkflowFunction
export type ActivityFunction<Input = any, Output = any> = (input: Input, context: ActivityContext) => Promise<Output>

export const RUN_STATUSES = ['running', 'completed', 'failed', 'cancelled', 'continued'] as const
export type RunStatus = (typeof RUN_STATUSES)[number]

export interface RunDescription {
  runId: string
  tenant: string
  workflow: string
  status: RunStatus
  /** ISO 8601. */
  startedAt: string
  endedAt?: string
  parent?: string
  output?: unknown
  error?: { code: string; message: string }
}
