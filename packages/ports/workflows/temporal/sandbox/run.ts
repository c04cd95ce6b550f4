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
import { createCommands } from './commands.ts'
import { createRecorder } from './recorder.ts'

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
  return CancellationScope.nonCancellable(() => run(workflow, start, input, cancelRequested))
}

async function run(workflow: WorkflowFunction, start: RunStart, input: unknown, cancelRequested: Promise<never>): Promise<unknown> {
  const { tenant, runId, startedAt } = start
  const shielded = CancellationScope.current()
  const recorder = createRecorder(start)
  const inbox: RecordedEntry[] = []
  let state: unknown
  let heldBack: Command[] = []
  let isPumping = true
  let isOver = false
  let takeOver: () => void = () => undefined
  const isFull = new Promise<'full'>((resolve) => {
    takeOver = () => resolve('full')
  })

  setHandler(defineQuery(QUERY.state), () => state)
  setHandler(defineQuery<UnrecordedPart>(QUERY.record), () => recorder.unrecordedPart())
  if (start.recorded === 0) {
    recorder.add('run.started', startedPayload(workflowInfo().workflowType, start, input), Date.parse(startedAt))
    recorder.flush()
  }
  const past = await recorder.past()
  const commands = createCommands(start, tell)
  const host: Host = {
    replayOnly: false,
    begin(command) {
      if (isRollingOver()) heldBack.push(command)
      else commands.begin(command)
    },
    drop: (command) => commands.drop(command),
    markPatch(id) {
      if (!patched(id)) return false
      tell('patch.marked', { id })
      return true
    },
    publish(published) {
      state = published
      if (!execution.isReplaying) changes.published({ tenant, runId }, published)
    },
  }
  const execution = new Execution({ runId, tenant, startedAt, past, host })
  inbox.push(...past)
  setHandler(defineSignal<[string, unknown]>(SIGNAL.word), (name, value) => tell('signal.received', { signal: name, value }))
  setHandler(defineSignal<[string | undefined]>(SIGNAL.cancel), (reason) => cancel(reason))
  cancelRequested.catch(() => cancel())

  const outcome = execution.run(workflow, input).then(
    (output): End => ({ kind: 'run.completed', payload: { output: output ?? null } }),
    (error): End => endOf(error),
  )
  isPumping = false
  pump()
  const end = await Promise.race([outcome, isFull])
  isOver = true
  if (end === 'full') return goOn({ ...start, recorded: recorder.recorded }, input)
  return finish(withinLimits(end))

  function tell(kind: string, payload: unknown, at?: number): void {
    if (isOver) return
    inbox.push(recorder.add(kind, payload, at))
    pump()
  }

  function cancel(reason?: string): void {
    if (!execution.cancelRequested && !inbox.some(({ kind }) => kind === 'run.cancel_requested')) tell('run.cancel_requested', { reason })
  }

  /** Delivers one entry at a time and lets the workflow come to rest in between, as every replay does. */
  function pump(): void {
    if (isPumping) return
    isPumping = true
    // Whoever brings an entry is in a scope of his own, which may be cancelled.
    void shielded.run(deliverAll)
  }

  async function deliverAll(): Promise<void> {
    // Signals arrive between two steps of the sandbox; only after this one does it count whether anything still moves.
    await Promise.resolve()
    await comeToRest()
    for (let entry = inbox.shift(); entry && !isOver; entry = inbox.shift()) {
      execution.deliver(entry)
      await comeToRest()
      execution.releaseHeldBack()
    }
    isPumping = false
    if (!isOver) bringRecordUpToDate()
  }

  /** A run that only waits has time to write its record, and one that has much to write takes it. */
  function bringRecordUpToDate(): void {
    if (isRollingOver() && commands.underWay === 0) {
      if (recorder.isComplete) takeOver()
      else void recorder.complete().then(pump)
    } else if (recorder.isLong || (commands.underWay === 0 && !recorder.isComplete)) recorder.flush()
  }

  /** Temporal's history is long: nothing new begins, and once nothing is under way a fresh history goes on from the record. */
  function isRollingOver(): boolean {
    return workflowInfo().continueAsNewSuggested
  }

  function endOf(error: unknown): End {
    // Not an end: Temporal keeps the run where it is until code that matches is there.
    if (error instanceof Nondeterminism) throw new Error(error.message)
    if (error instanceof ContinueAsNew) {
      const next = { ...startedPayload(workflowInfo().workflowType, start, error.input), generation: start.generation + 1 }
      return { kind: 'run.continued', payload: {}, next }
    }
    const isCancelled = execution.cancelRequested && SomaError.is(error, 'cancelled')
    return { kind: isCancelled ? 'run.cancelled' : 'run.failed', payload: { error: recordError(error) } }
  }

  async function finish(end: End): Promise<unknown> {
    for (const command of [...execution.openCommands, ...heldBack]) {
      command.dropped = true
      commands.drop(command)
    }
    heldBack = []
    recorder.add(end.kind, end.payload)
    await recorder.complete()
    if (end.kind === 'run.completed') return end.payload.output
    if (end.kind !== 'run.continued') throw failureOf(end)
    const next: RunStart = { ...start, generation: end.next.generation, startedAt: new Date(Date.now()).toISOString(), recorded: 1 }
    await recorder.begin(next, { kind: 'run.started', at: next.startedAt, payload: end.next })
    return goOn(next, end.next.input)
  }
}

function startedPayload(workflow: string, { parent, generation }: RunStart, input: unknown): StartedPayload {
  return { workflow, input: input ?? null, ...(parent ? { parent } : {}), generation }
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
