import { SomaError } from '@soma/contracts/errors'
import type { ActivityFunction } from '@soma/contracts/workflow'
import { ApplicationFailure, Context } from '@temporalio/activity'
import type { PayloadCodec } from '@temporalio/common'
import { DefaultLogger, makeTelemetryFilterString, NativeConnection, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker'
import { Abortable } from '../execution/abortable.ts'
import { attemptActivity } from '../execution/attempt-activity.ts'
import { recordError } from '../execution/record.ts'
import { answering, type TemporalServer } from './connect.ts'
import type { RecordActivities, StepOutcome, StepRequest } from './protocol.ts'
import type { ChangeSinks } from './sandbox/run.ts'

/** A call that a person holds back keeps its place among these. */
const ACTIVITIES_AT_ONCE = 2000
const RESTART_AFTER_MILLISECONDS = 1000

export interface WorkerOptions {
  server: TemporalServer
  codec: PayloadCodec
  bundle: WorkflowBundle
  activities: Readonly<Record<string, ActivityFunction>>
  record: RecordActivities
  published(run: { tenant: string; runId: string }, state: unknown): void
  lossMilliseconds: number
  onTrouble(error: unknown): void
}

export interface RunningWorker {
  /** Gives what is under way back to Temporal, for other workers to do. */
  stop(): Promise<void>
}

/** Works for Temporal until it is stopped. @throws SomaError `dependency_unavailable` when Temporal can't be reached at the start */
export async function startWorker(options: WorkerOptions): Promise<RunningWorker> {
  installRuntime(options.onTrouble)
  const { server } = options
  const parking = new AbortController()
  const connection = await answering(server, () =>
    NativeConnection.connect({ address: server.address, tls: server.tls, apiKey: server.apiKey }),
  )
  let worker = await createWorker(options, connection, parking.signal)
  const running = runAgainAndAgain()

  async function runAgainAndAgain(): Promise<void> {
    for (;;) {
      try {
        await worker.run()
        return
      } catch (error) {
        if (parking.signal.aborted) return
        options.onTrouble(error)
      }
      await new Promise((resolve) => setTimeout(resolve, RESTART_AFTER_MILLISECONDS))
      if (parking.signal.aborted) return
      worker = await createWorker(options, connection, parking.signal)
    }
  }

  return {
    async stop() {
      if (worker.getState() === 'RUNNING') worker.shutdown()
      parking.abort(new SomaError('shutting_down', 'The server is stopping.'))
      await running
      await connection.close()
    },
  }
}

/** One a process, for all of its workers. The process's own lifecycle says what a signal does. */
function installRuntime(onTrouble: (error: unknown) => void): void {
  if (isInstalled) return
  isInstalled = true
  const logger = new DefaultLogger('WARN', ({ message, meta }) => onTrouble(new Error(`Temporal: ${message}`, { cause: meta })))
  const logging = { filter: makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' }), forward: {} }
  Runtime.install({ shutdownSignals: [], logger, telemetryOptions: { logging } })
}
let isInstalled = false

function createWorker(options: WorkerOptions, connection: NativeConnection, parked: AbortSignal): Promise<Worker> {
  const { server, codec, bundle, record, published, lossMilliseconds } = options
  const sinks = {
    changes: { published: { fn: (_: unknown, run: { tenant: string; runId: string }, state: unknown) => published(run, state) } },
  }
  return Worker.create({
    connection,
    namespace: server.namespace,
    taskQueue: server.taskQueue,
    workflowBundle: bundle,
    activities: { ...record, default: (request: StepRequest, input: unknown) => performStep(options, parked, request, input) },
    dataConverter: { payloadCodecs: [codec] },
    sinks: sinks satisfies { [Name in keyof ChangeSinks]: object },
    maxConcurrentActivityTaskExecutions: ACTIVITIES_AT_ONCE,
    stickyQueueScheduleToStartTimeout: lossMilliseconds,
    maxHeartbeatThrottleInterval: lossMilliseconds / 3,
    defaultHeartbeatThrottleInterval: lossMilliseconds / 3,
    shutdownForceTime: '10s',
  })
}

async function performStep(
  { activities, lossMilliseconds }: WorkerOptions,
  parked: AbortSignal,
  request: StepRequest,
  input: unknown,
): Promise<StepOutcome> {
  const context = Context.current()
  const abortable = new Abortable()
  // Temporal tells of a cancellation only in its answer to a sign of life.
  const alive = setInterval(() => context.heartbeat(), Math.min(1000, lossMilliseconds / 3))
  const cancel = () => abortable.abort(new SomaError('cancelled', 'The run was cancelled.'))
  const park = () => abortable.abort(parked.reason)
  context.cancellationSignal.addEventListener('abort', cancel)
  parked.addEventListener('abort', park)
  if (parked.aborted) park()
  try {
    const { tenant, runId, key, attempt, label, timeoutMilliseconds } = request
    const about = { tenant, runId, key, attempt }
    const outcome = await attemptActivity(activities, {
      name: context.info.activityType,
      label,
      input,
      timeoutMilliseconds,
      about,
      abortable,
    })
    if ('output' in outcome) return outcome
    if (parked.aborted) throw ApplicationFailure.retryable('The worker stops before the activity ended.', 'Parked')
    return { error: recordError(outcome.error) }
  } finally {
    clearInterval(alive)
    context.cancellationSignal.removeEventListener('abort', cancel)
    parked.removeEventListener('abort', park)
  }
}
