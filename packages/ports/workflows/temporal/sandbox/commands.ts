import { isPassing } from '@soma/contracts/errors'
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common'
import {
  ActivityCancellationType,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  ChildWorkflowCancellationType,
  ChildWorkflowFailure,
  ParentClosePolicy,
  proxyActivities,
  sleep,
  startChild,
  WorkflowIdReusePolicy,
  workflowInfo,
} from '@temporalio/workflow'
import { type Command, cancelled, sha256Hex } from '../../execution/execution.ts'
import { asRecorded, problemOf, type RecordedError, recordError, revive, stepKey, streamOf } from '../../execution/record.ts'
import { type RunStart, type StepOutcome, type StepRequest, workflowIdOf } from '../protocol.ts'

const DEFAULT_TIMEOUT = 10 * 60_000
/** The worker ends an attempt in its time; Temporal takes over when it does not. */
const GRACE = 60_000

/** Tells the run what became of a command. */
export type Tell = (kind: string, payload: unknown, at?: number) => void

export type Commands = ReturnType<typeof createCommands>

/** Does what a workflow asks for with Temporal's means. Each command has a scope, so that it can be dropped alone. */
export function createCommands(start: RunStart, tell: Tell) {
  const { tenant, runId } = start
  const stream = streamOf(runId, start.generation)
  const base = CancellationScope.current()
  const scopes = new Map<number, CancellationScope>()
  let underWay = 0

  async function perform(command: Command): Promise<void> {
    if (command.kind === 'timer') await runTimer(command)
    else if (command.kind === 'child') await counted(() => runChild(command))
    else await counted(() => runActivity(command))
  }

  async function counted(work: () => Promise<void>): Promise<void> {
    underWay++
    try {
      await work()
    } finally {
      underWay--
    }
  }

  async function runTimer({ begun, step, name, until = 0 }: Command): Promise<void> {
    if (!begun) tell('timer.started', { step, name, until })
    await sleepUntil(until)
    tell('timer.fired', { step, name }, Math.max(Date.now(), until))
  }

  async function runActivity(command: Command): Promise<void> {
    const { step, name, label, input, options = {} } = command
    for (;;) {
      if (command.until !== undefined && command.attempt > 1) await sleepUntil(command.until)
      const outcome = await attempt(command)
      if (command.dropped) return
      if (!('error' in outcome)) return tellOutput(command, outcome.output)
      const { error } = outcome
      if (command.attempt >= (options.retry?.attempts ?? 1) || !isPassing(revive(error)))
        return tell('step.failed', { step, name, label, input, error })
      command.until = Date.now() + (options.retry?.backoffMilliseconds ?? 1000) * 2 ** (command.attempt - 1)
      tell('step.retried', { step, name, label, attempt: command.attempt, until: command.until, error })
      command.attempt++
    }
  }

  function tellOutput({ step, name, label, input }: Command, output: unknown): void {
    const payload = { step, name, label, input, output }
    const problem = problemOf('step.completed', payload)
    if (problem) tell('step.failed', { step, name, label, input, error: problem })
    else tell('step.completed', payload)
  }

  function attempt(command: Command): Promise<StepOutcome> {
    const { name, label, options } = command
    const timeoutMilliseconds = options?.timeoutMilliseconds
    const request: StepRequest = { tenant, runId, key: stepKey(stream, command.step), attempt: command.attempt, label, timeoutMilliseconds }
    const activities = proxyActivities<Record<string, (request: StepRequest, input: unknown) => Promise<StepOutcome>>>({
      activityId: activityIdOf(command),
      startToCloseTimeout: (timeoutMilliseconds ?? DEFAULT_TIMEOUT) + GRACE,
      heartbeatTimeout: start.lossMilliseconds,
      cancellationType: ActivityCancellationType.TRY_CANCEL,
      retry: { initialInterval: 100, maximumInterval: 10_000 },
    })
    return (activities[name] as (request: StepRequest, input: unknown) => Promise<StepOutcome>)(request, command.input)
  }

  async function runChild({ step, name, input, runId: id = '' }: Command): Promise<void> {
    const startedAt = new Date(Date.now()).toISOString()
    const child: RunStart = { ...start, runId: id, generation: 1, startedAt, parent: { runId, step }, recorded: 0 }
    const about = { step, name, runId: id }
    const problem = problemOf('run.started', { workflow: name, input, parent: child.parent })
    if (problem) return tell('child.failed', { ...about, error: problem })
    try {
      const handle = await startChild(name, {
        workflowId: workflowIdOf(workflowInfo().taskQueue, tenant, id),
        args: [child, input],
        workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
        cancellationType: ChildWorkflowCancellationType.TRY_CANCEL,
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      })
      tell('child.started', { ...about, input })
      tell('child.completed', { ...about, output: await handle.result() })
    } catch (error) {
      tell('child.failed', { ...about, error: childError(error, id) })
    }
  }

  return {
    /** Activities and children that have no outcome yet. */
    get underWay() {
      return underWay
    },
    begin(command: Command): void {
      const scope = new CancellationScope({ cancellable: true, parent: base })
      scopes.set(command.step, scope)
      scope
        .run(() => perform(command))
        // A dropped command ends with a cancellation that nobody waits for.
        .catch((error) => {
          if (!command.dropped) throw error
        })
        .finally(() => scopes.delete(command.step))
    },
    drop(command: Command): void {
      scopes.get(command.step)?.cancel()
    },
  }
}

/** Temporal compares ids when it replays: by the name and the input in it a changed step is found, and by the label it is named. */
function activityIdOf({ step, name, label, input, attempt }: Command): string {
  const place = label ? `${step} (${label.slice(0, 100)})` : `${step}`
  const input8 = sha256Hex(JSON.stringify(asRecorded(input))).slice(0, 8)
  return `${place}: ${name} #${input8}${attempt > 1 ? ` attempt ${attempt}` : ''}`
}

function sleepUntil(until: number): Promise<void> {
  return sleep(Math.max(1, until - Date.now()))
}

function childError(error: unknown, runId: string): RecordedError {
  if (error instanceof WorkflowExecutionAlreadyStartedError) return { code: 'conflict', message: `A run ${runId} exists already.` }
  const cause = error instanceof ChildWorkflowFailure ? error.cause : error
  if (cause instanceof ApplicationFailure && cause.details?.[0]) return cause.details[0] as RecordedError
  if (cause instanceof CancelledFailure) return recordError(cancelled())
  return { code: 'workflow_failed', message: `Temporal ended the run ${runId}: ${cause instanceof Error ? cause.message : String(cause)}` }
}
