import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { RunDescription, WorkflowFunction } from '@soma/contracts/workflow'
import { WorkflowExecutionAlreadyStartedError, type WorkflowHandle, WorkflowIdReusePolicy, WorkflowNotFoundError } from '@temporalio/client'
import { payloadText } from '../../journal/payload.ts'
import type { Journal } from '../../journal/port.ts'
import type { Sql } from '../../sql/port.ts'
import { requireRunId, type StartedPayload, settleFromEnd, streamOf, unknownWorkflow } from '../execution/record.ts'
import { replayRecord } from '../execution/replay.ts'
import { type IndexedRun, openRunIndex } from '../execution/run-index.ts'
import type { Workflows, WorkflowsOptions } from '../port.ts'
import { bundleOf } from './bundle.ts'
import { openChanges } from './changes.ts'
import { connectClient, type TemporalServer } from './connect.ts'
import { departureOf } from './departure.ts'
import { createPayloadStore, sweepPayloads } from './payload-store.ts'
import { QUERY, type RecordActivities, type RunStart, SIGNAL, type UnrecordedPart, workflowIdOf } from './protocol.ts'
import { createRecordStore } from './record-store.ts'
import { type RunningWorker, startWorker } from './worker.ts'

/** Open runs that are looked after at once. */
const AT_ONCE = 8
/** Milliseconds after which a Temporal that did not answer is asked again for the end of a run. */
const ASK_AGAIN_AFTER = 1000
const TEND_EVERY = 10 * 60_000

export interface TemporalWorkflowsOptions {
  sql: Sql
  journal: Journal
  server: TemporalServer
  /** Told of what the engine recovers from by itself, for the log. */
  onTrouble?(error: unknown): void
  /** Milliseconds without a sign of life after which a worker's work is given to another. Default 10 s. */
  lossMilliseconds?: number
}

/**
 * Workflows on Temporal. It says what happens next; what happened is in the journal, written before a run ends, so that history,
 * replay and proof are those of the embedded engine. Any number of processes work on the same runs.
 */
export async function openTemporalWorkflows(options: TemporalWorkflowsOptions): Promise<Workflows> {
  const { sql, journal, server, onTrouble = () => undefined, lossMilliseconds = 10_000 } = options
  const index = await openRunIndex(sql, journal, { severalWriters: true })
  const records = createRecordStore(journal, index)
  const codec = createPayloadStore(sql, server.taskQueue)
  const temporal = await connectClient(server, codec)
  const changes = await openChanges(sql, () => void index.catchUp().catch(onTrouble))
  let workflows: Map<string, WorkflowFunction> | undefined
  let worker: RunningWorker | undefined
  let tending: NodeJS.Timeout | undefined
  let isStopping = false

  const record: RecordActivities = {
    'soma.record': async (head, ...entries) => {
      const end = await records.write(head, entries)
      if (end) changes.publish(head, end.kind.slice('run.'.length) as RunDescription['status'])
    },
    'soma.past': (head) => records.past(head),
  }

  /** Speaks with Temporal about one run. */
  function about<Answer>(tenant: string, runId: string, speak: (handle: WorkflowHandle) => Promise<Answer>): Promise<Answer> {
    return temporal.call((client) => speak(client.workflow.getHandle(workflowIdOf(server.taskQueue, tenant, runId))))
  }

  function registered(): Map<string, WorkflowFunction> {
    if (isStopping) throw new SomaError('shutting_down', 'The server is stopping and takes no new work.')
    if (workflows) return workflows
    throw new SomaError('dependency_unavailable', 'The workflow engine has not started. Try again in a moment.', { retryAfterSeconds: 1 })
  }

  /** Starts the run on Temporal from where its record ends, unless it is there. */
  async function launch(tenant: string, runId: string, generation: number): Promise<void> {
    const [started, ...rest] = (await journal.read(tenant, streamOf(runId, generation))) as [JournalEntry, ...JournalEntry[]]
    const { workflow, input, parent } = started.payload as StartedPayload
    const start: RunStart = {
      tenant,
      runId,
      generation,
      startedAt: started.at,
      recorded: rest.length + 1,
      lossMilliseconds,
      ...(parent ? { parent } : {}),
    }
    try {
      await temporal.call((client) =>
        client.workflow.start(workflow, {
          workflowId: workflowIdOf(server.taskQueue, tenant, runId),
          taskQueue: server.taskQueue,
          args: [start, input],
          workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
        }),
      )
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error
    }
  }

  /** Brings what a crash kept from Temporal there, and ends what was ended there. A child is its parent's to start. */
  async function tendOpenRuns(): Promise<void> {
    const open = await index.open()
    const tendNext = async () => {
      for (let run = open.shift(); run && !isStopping; run = open.shift()) {
        if (!run.parent) await launch(run.tenant, run.runId, run.generation)
        await settleClosed(run.tenant, run.runId)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, tendNext))
  }

  /** Gets from Temporal what the journal lacks of an open run. What stands still, or is not on Temporal, can't be asked. */
  async function bringRecordUpToDate(tenant: string, runId: string): Promise<void> {
    const part = await ask<UnrecordedPart>(tenant, runId, QUERY.record)
    if (part) await records.write(part.head, part.entries)
  }

  async function ask<Answer>(tenant: string, runId: string, query: string): Promise<Answer | undefined> {
    try {
      return await about(tenant, runId, (handle) => handle.query<Answer>(query))
    } catch (error) {
      if (SomaError.is(error)) throw error
      return undefined
    }
  }

  /** The run as the index knows it; a child that has only begun is known to Temporal before. */
  async function find(tenant: string, runId: string): Promise<IndexedRun | undefined> {
    const known = await index.get(tenant, runId)
    if (known) return known
    await bringRecordUpToDate(tenant, runId)
    return index.get(tenant, runId)
  }

  async function findOrThrow(tenant: string, runId: string): Promise<IndexedRun> {
    const run = await find(tenant, runId)
    if (run) return run
    throw new SomaError('not_found', `There is no run ${runId}.`, { runId })
  }

  async function openOrThrow(tenant: string, runId: string): Promise<IndexedRun> {
    registered()
    const run = await findOrThrow(tenant, runId)
    if (run.status === 'running') return run
    throw new SomaError('conflict', `Run ${runId} has ended (${run.status}).`, { status: run.status })
  }

  /** Says something to an open run. One that Temporal does not have, because a process died before it told, is brought there first. */
  async function say(tenant: string, runId: string, words: (handle: WorkflowHandle) => Promise<void>): Promise<void> {
    const { generation, parent } = await openOrThrow(tenant, runId)
    try {
      await about(tenant, runId, words)
    } catch (error) {
      if (!(error instanceof WorkflowNotFoundError)) throw error
      if (!parent) await launch(tenant, runId, generation)
      await settleClosed(tenant, runId)
      await openOrThrow(tenant, runId)
      await about(tenant, runId, words)
    }
  }

  async function statusOnTemporal(tenant: string, runId: string): Promise<string> {
    try {
      const { status } = await about(tenant, runId, (handle) => handle.describe())
      return status.name.toLowerCase()
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'unknown'
      throw error
    }
  }

  /** A run that somebody ended on Temporal itself did not write its end: that is done here. */
  async function settleClosed(tenant: string, runId: string): Promise<void> {
    const status = await statusOnTemporal(tenant, runId)
    if (status === 'running') return
    const run = await index.get(tenant, runId)
    if (run?.status !== 'running') return
    const error = { code: 'workflow_failed', message: `The run was closed on Temporal: ${status}.` }
    const stream = streamOf(runId, run.generation)
    const last = await journal.readLast(tenant, stream)
    const expectedSeq = last?.seq ?? 0
    index.note(await journal.append({ tenant, stream, expectedSeq, entries: [{ kind: 'run.failed', payload: { error } }] }))
    await index.flush()
    changes.publish({ tenant, runId }, 'failed')
  }

  /** Waits while Temporal has the run open, also for a Temporal that is away. What came of the run stands in the journal by then. */
  async function untilClosed(tenant: string, runId: string): Promise<void> {
    try {
      await about(tenant, runId, (handle) => handle.result()).catch(() => settleClosed(tenant, runId))
    } catch (error) {
      if (isStopping) throw new SomaError('shutting_down', 'The server is stopping.')
      onTrouble(error)
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_AFTER))
    }
  }

  async function entriesOf(tenant: string, runId: string): Promise<{ run: IndexedRun; entries: JournalEntry[] }> {
    const run = await findOrThrow(tenant, runId)
    if (run.status === 'running') await bringRecordUpToDate(tenant, runId)
    return { run, entries: await journal.read(tenant, streamOf(runId, run.generation)) }
  }

  async function describe(tenant: string, runId: string): Promise<RunDescription | undefined> {
    const known = await find(tenant, runId)
    if (!known) return undefined
    const { generation, ...description } = known
    if (known.status === 'running') {
      const departure = await temporal.call((client) => departureOf(client, workflowIdOf(server.taskQueue, tenant, runId)))
      return departure ? { ...description, error: { code: 'workflow_nondeterministic', message: departure } } : description
    }
    if (known.status !== 'completed') return description
    const end = await journal.readLast(tenant, streamOf(runId, generation))
    return { ...description, output: (end?.payload as { output?: unknown } | undefined)?.output }
  }

  async function replay(tenant: string, runId: string, input?: unknown) {
    const { run, entries } = await entriesOf(tenant, runId)
    const workflow = registered().get(run.workflow)
    if (!workflow) throw unknownWorkflow(run.workflow, registered().keys())
    return replayRecord({ runId, entries, workflow, input })
  }

  return {
    async start({ workflows: definitions, activities }: WorkflowsOptions) {
      const bundle = await bundleOf(definitions)
      workflows = new Map(definitions.map(({ name, run }) => [name, run]))
      isStopping = false
      const published = (run: { tenant: string; runId: string }, state: unknown) => changes.publish(run, 'running', state)
      worker = await startWorker({ server, codec, bundle, activities, record, published, lossMilliseconds, onTrouble })
      await index.catchUp()
      await tendOpenRuns()
      tending = setInterval(() => void Promise.all([tendOpenRuns(), sweepPayloads(sql)]).catch(onTrouble), TEND_EVERY).unref()
    },
    async startRun({ workflow, runId, tenant, input }) {
      const known = registered()
      requireRunId(runId)
      if (!known.has(workflow)) throw unknownWorkflow(workflow, known.keys())
      const payload: StartedPayload = { workflow, input: input ?? null, generation: 1 }
      const entries = [{ kind: 'run.started', payload }]
      try {
        index.note(await journal.append({ tenant, stream: streamOf(runId, 1), expectedSeq: 0, entries }))
      } catch (error) {
        if (!SomaError.is(error, 'stream_conflict')) throw error
        // Another process may have died between the journal and the index, or between the journal and Temporal.
        index.note(await journal.read(tenant, streamOf(runId, 1), { limit: 1 }))
      }
      const run = (await index.get(tenant, runId)) as IndexedRun
      if (run.status === 'running') await launch(tenant, runId, run.generation)
      return (await describe(tenant, runId)) as RunDescription
    },
    async signal({ tenant, runId, name, payload }) {
      payloadText('signal.received', { signal: name, value: payload })
      await say(tenant, runId, (handle) => handle.signal(SIGNAL.signal, name, payload ?? null))
    },
    async cancel({ tenant, runId, reason }) {
      await say(tenant, runId, (handle) => handle.signal(SIGNAL.cancel, reason))
      // The signal carries the reason; this is for Temporal's own account of the run, which may have ended already.
      await about(tenant, runId, (handle) => handle.cancel()).catch((error) => {
        if (!(error instanceof WorkflowNotFoundError)) throw error
      })
    },
    async query({ tenant, runId }) {
      const { status } = await findOrThrow(tenant, runId)
      const state = status === 'running' ? await ask(tenant, runId, QUERY.state) : undefined
      // State is not recorded: it follows from the record.
      return state ?? (await replay(tenant, runId)).state
    },
    describe: ({ tenant, runId }) => describe(tenant, runId),
    async list(query) {
      return (await index.list(query)).map(({ generation: _, ...description }) => description)
    },
    async result<Output>({ tenant, runId }: { tenant: string; runId: string }) {
      let run = await findOrThrow(tenant, runId)
      while (run.status === 'running') {
        await untilClosed(tenant, runId)
        run = await findOrThrow(tenant, runId)
      }
      const end = await journal.readLast(tenant, streamOf(runId, run.generation))
      return new Promise<Output>((resolve, reject) => settleFromEnd(end as JournalEntry, resolve as (value: unknown) => void, reject))
    },
    async history({ tenant, runId }) {
      return (await entriesOf(tenant, runId)).entries
    },
    async replay({ tenant, runId, input }) {
      const { state: _, ...result } = await replay(tenant, runId, input)
      return result
    },
    onChange: changes.subscribe,
    async version() {
      const { serverVersion } = await temporal.call((client) => client.workflowService.getSystemInfo({}))
      return serverVersion
    },
    async stop() {
      if (isStopping) return
      isStopping = true
      clearInterval(tending)
      await worker?.stop()
      await changes.close()
      await index.flush()
      await temporal.close()
    },
  }
}
