import { SomaError } from '@soma/contracts/errors'
import type { WorkflowFunction } from '@soma/contracts/workflow'
import {
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  defineQuery,
  defineSignal,
  makeContinueAsNewFunc,
  patched,
  proxySinks,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow'
import { type Command, ContinueAsNew, Execution, type Host, Nondeterminism } from '../../execution/execution.ts'
import { problemOf, type RecordedEntry, type RecordedError, recordError, type StartedPayload } from '../../execution/record.ts'
import { QUERY, type RunStart, SIGNAL, type UnrecordedPart } from '../protocol.ts'
import { type Commands, createCommands } from './commands.ts'
import { createRecorder, type Recorder } from './recorder.ts'

/** How the sandbox tells its worker that a run published state. */
export type ChangeSinks = { changes: { published(run: { tenant: string; runId: string }, state: unknown): void } }

type End =
  | { kind: 'run.completed'; payload: { output: unknown } }
  | { kind: 'run.failed' | 'run.cancelled'; payload: { error: RecordedError } }
  | { kind: 'run.continued'; payload: object; next: StartedPayload }

const { changes } = proxySinks<ChangeSinks>()

/**
 * Runs a workflow in Temporal's sandbox, by the same execution as everywhere: what happens is recorded and delivered one thing at a time.
 * The run ends only after the journal holds its whole record.
 */
export function runInSandbox(workflow: WorkflowFunction, start: RunStart, input: unknown): Promise<unknown> {
  const cancelRequested = CancellationScope.current().cancelRequested
  // The workflow itself says what a cancellation ends, so none may reach its commands past it.
  return CancellationScope.nonCancellable(async () => {
    const run = new SandboxRun(start, input)
    cancelRequested.catch(() => run.cancel())
    return run.run(workflow)
  })
}

class SandboxRun implements Host {
  readonly replayOnly = false
  private readonly start: RunStart
  private readonly input: unknown
  private readonly recorder: Recorder
  private readonly commands: Commands
  private readonly shielded = CancellationScope.current()
  private execution: Execution | undefined
  private state: unknown
  private inbox: RecordedEntry[] = []
  private isPumping = false
  private isOver = false
  private takeOver: (full: 'full') => void = () => undefined
  private readonly isFull = new Promise<'full'>((resolve) => {
    this.takeOver = resolve
  })

  constructor(start: RunStart, input: unknown) {
    this.start = start
    this.input = input
    this.recorder = createRecorder(start)
    this.commands = createCommands(start, (kind, payload, at) => this.tell(kind, payload, at))
    setHandler(defineQuery(QUERY.state), () => this.state)
    setHandler(defineQuery<UnrecordedPart>(QUERY.record), () => this.recorder.unrecordedPart())
    if (start.recorded === 0) this.recordStart()
  }

  /** A child is in the journal as soon as it runs: people see it, and speak to it. */
  private recordStart(): void {
    this.recorder.add('run.started', this.startedPayload(this.input), Date.parse(this.start.startedAt))
    this.recorder.flush()
  }

  async run(workflow: WorkflowFunction): Promise<unknown> {
    const { tenant, runId, startedAt } = this.start
    const past = await this.recorder.past()
    const execution = new Execution({ runId, tenant, startedAt, past, host: this })
    this.execution = execution
    this.inbox = [...past, ...this.inbox]
    // What arrived before is kept by Temporal until now.
    setHandler(defineSignal<[string, unknown]>(SIGNAL.signal), (name, value) => this.tell('signal.received', { signal: name, value }))
    setHandler(defineSignal<[string | undefined]>(SIGNAL.cancel), (reason) => this.cancel(reason))
    const outcome = execution.run(workflow, this.input).then(
      (output): End => ({ kind: 'run.completed', payload: { output: output ?? null } }),
      (error): End => this.endOf(error),
    )
    this.pump()
    const end = await Promise.race([outcome, this.isFull])
    this.isOver = true
    if (end === 'full') return goOn({ ...this.start, recorded: this.recorder.recorded }, this.input)
    return this.finish(withinLimits(end))
  }

  cancel(reason?: string): void {
    const isKnown = this.execution?.cancelRequested || this.inbox.some(({ kind }) => kind === 'run.cancel_requested')
    if (!isKnown) this.tell('run.cancel_requested', { reason })
  }

  begin(command: Command): void {
    // Neither begun nor recorded, so the run that goes on asks for it again.
    if (!this.isRollingOver) this.commands.begin(command)
  }

  drop(command: Command): void {
    this.commands.drop(command)
  }

  markPatch(id: string): boolean {
    if (!patched(id)) return false
    this.tell('patch.marked', { id })
    return true
  }

  publish(state: unknown): void {
    this.state = state
    const { tenant, runId } = this.start
    if (!this.execution?.isReplaying) changes.published({ tenant, runId }, state)
  }

  private tell(kind: string, payload: unknown, at?: number): void {
    if (this.isOver) return
    this.inbox.push(this.recorder.add(kind, payload, at))
    this.pump()
  }

  private pump(): void {
    if (this.isPumping || !this.execution) return
    this.isPumping = true
    const { execution } = this
    // Whoever brings an entry is in a scope of his own, which may be cancelled.
    void this.shielded.run(() => this.deliverAll(execution))
  }

  /** Delivers one entry at a time and lets the workflow come to rest in between, as every replay does. */
  private async deliverAll(execution: Execution): Promise<void> {
    // Signals arrive between two steps of the sandbox; only after this one does it count whether anything still moves.
    await Promise.resolve()
    await comeToRest()
    for (let entry = this.inbox.shift(); entry && !this.isOver; entry = this.inbox.shift()) {
      execution.deliver(entry)
      await comeToRest()
      execution.releaseHeldBack()
    }
    this.isPumping = false
    if (!this.isOver) this.bringRecordUpToDate()
  }

  /** A run that only waits has time to write its record, and one that has much to write takes it. */
  private bringRecordUpToDate(): void {
    const { recorder, commands } = this
    const onlyWaits = commands.underWay === 0
    if (this.isRollingOver && onlyWaits) {
      if (recorder.isComplete) this.takeOver('full')
      else void recorder.complete().then(() => this.pump())
    } else if (recorder.isLong || (onlyWaits && !recorder.isComplete)) recorder.flush()
  }

  /** Temporal's history is long: nothing new begins, and once nothing is under way a fresh history goes on from the record. */
  private get isRollingOver(): boolean {
    return workflowInfo().continueAsNewSuggested
  }

  private endOf(error: unknown): End {
    // Not an end: Temporal keeps the run where it is until code that matches is there.
    if (error instanceof Nondeterminism) throw new Error(error.message)
    if (error instanceof ContinueAsNew) {
      const next = { ...this.startedPayload(error.input), generation: this.start.generation + 1 }
      return { kind: 'run.continued', payload: {}, next }
    }
    const isCancelled = this.execution?.cancelRequested && SomaError.is(error, 'cancelled')
    return { kind: isCancelled ? 'run.cancelled' : 'run.failed', payload: { error: recordError(error) } }
  }

  private async finish(end: End): Promise<unknown> {
    for (const command of this.execution?.openCommands ?? []) {
      command.dropped = true
      this.commands.drop(command)
    }
    this.recorder.add(end.kind, end.payload)
    await this.recorder.complete()
    if (end.kind === 'run.completed') return end.payload.output
    if (end.kind !== 'run.continued') throw failureOf(end)
    const startedAt = new Date(Date.now()).toISOString()
    const next: RunStart = { ...this.start, generation: end.next.generation, startedAt, recorded: 1 }
    await this.recorder.begin(next, { kind: 'run.started', at: startedAt, payload: end.next })
    return goOn(next, end.next.input)
  }

  private startedPayload(input: unknown): StartedPayload {
    const { parent, generation } = this.start
    return { workflow: workflowInfo().workflowType, input: input ?? null, ...(parent ? { parent } : {}), generation }
  }
}

function withinLimits(end: End): End {
  const problem = end.kind === 'run.continued' ? problemOf('run.started', end.next) : problemOf(end.kind, end.payload)
  return problem ? { kind: 'run.failed', payload: { error: problem } } : end
}

function failureOf({ kind, payload }: Extract<End, { kind: 'run.failed' | 'run.cancelled' }>): Error {
  const { code, message } = payload.error
  if (kind === 'run.cancelled') return new CancelledFailure(message, [payload.error])
  return ApplicationFailure.create({ message, type: code, nonRetryable: true, details: [payload.error] })
}

function goOn(start: RunStart, input: unknown): Promise<never> {
  return makeContinueAsNewFunc<(start: RunStart, input: unknown) => Promise<unknown>>()(start, input)
}

/** True at the second asking, which comes when everything that could go on has. */
function comeToRest(): Promise<void> {
  let wasAsked = false
  return condition(() => {
    const isAtRest = wasAsked
    wasAsked = true
    return isAtRest
  })
}
