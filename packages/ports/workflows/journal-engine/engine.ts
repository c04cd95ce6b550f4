import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { RunDescription, WorkflowFunction } from '@soma/contracts/workflow'
import type { Journal } from '../../journal/port.ts'
import type { Sql } from '../../sql/port.ts'
import { isEnd, requireRunId, type StartedPayload, settleFromEnd, streamOf, unknownWorkflow } from '../execution/record.ts'
import { replayRecord } from '../execution/replay.ts'
import { type IndexedRun, openRunIndex } from '../execution/run-index.ts'
import type { Workflows, WorkflowsOptions } from '../port.ts'
import { type Engine, LiveRun } from './live-run.ts'
import { claimOwnership, type Ownership } from './ownership.ts'

/** Milliseconds before the runs are read again after the journal refused an append; doubles up to the longest. */
const RESUME_AFTER = { first: 200, longest: 10_000 }
/** Streams read at once while resuming. */
const READERS = 8

type Change = Parameters<Parameters<Workflows['onChange']>[0]>[0]

export interface JournalWorkflowsOptions {
  sql: Sql
  journal: Journal
  /** Told of what the engine recovers from by itself, for the log. */
  onTrouble?(error: unknown): void
  /** Milliseconds to wait for a dying owner before giving up. Default 10 s. */
  ownershipTimeoutMilliseconds?: number
}

/** The embedded workflow engine: replays each run's stream and goes on. One process owns all runs. */
export async function openJournalWorkflows(options: JournalWorkflowsOptions): Promise<Workflows> {
  const { sql, journal, onTrouble = () => undefined } = options
  const index = await openRunIndex(sql, journal)
  const runs = new Map<string, LiveRun>()
  const listeners = new Set<(change: Change) => void>()
  const waiters = new Map<string, Set<{ resolve(value: unknown): void; reject(error: unknown): void }>>()
  let workflows = new Map<string, WorkflowFunction>()
  let ownership: Ownership | undefined
  let resuming: Promise<void> | undefined
  let isStopping = false

  const engine: Engine = {
    journal,
    activities: {},
    isStopping: () => isStopping,
    liveRun: (tenant, runId) => runs.get(keyOf(tenant, runId)),
    note: (entries) => index.note(entries),
    begin: beginRun,
    changed: (run) => tell({ tenant: run.tenant, runId: run.runId, state: run.state, status: 'running' }),
    ended(run, end) {
      runs.delete(keyOf(run.tenant, run.runId))
      const status = end.kind.slice('run.'.length) as RunDescription['status']
      settleWaiters(run.tenant, run.runId, end)
      tell({ tenant: run.tenant, runId: run.runId, state: run.state, status })
    },
    trouble: onTrouble,
    halt,
  }

  function tell(change: Change): void {
    for (const listener of listeners) listener(change)
  }

  function load(started: JournalEntry, past: readonly JournalEntry[]): LiveRun {
    const run = new LiveRun(engine, started, past, runIdOf(started))
    runs.set(keyOf(run.tenant, run.runId), run)
    return run
  }

  function beginRun(started: JournalEntry): void {
    execute(load(started, []))
  }

  function execute(run: LiveRun): void {
    void run.run(workflows.get(run.workflow) ?? (() => Promise.reject(unknownWorkflow(run.workflow, workflows.keys()))))
  }

  function settleWaiters(tenant: string, runId: string, end: JournalEntry): void {
    const key = keyOf(tenant, runId)
    for (const waiter of waiters.get(key) ?? []) settleFromEnd(end, waiter.resolve, waiter.reject)
    waiters.delete(key)
  }

  /** Memory may be ahead of the record, or another process may own it: every run is let go and read again. */
  function halt(error: unknown): void {
    if (isStopping || resuming) return
    onTrouble(error)
    resuming = resumeWithPatience().finally(() => {
      resuming = undefined
    })
  }

  async function resumeWithPatience(): Promise<void> {
    for (let wait = RESUME_AFTER.first; !isStopping; wait = Math.min(wait * 2, RESUME_AFTER.longest)) {
      const parked = [...runs.values()]
      runs.clear()
      await Promise.all(parked.map((run) => run.park()))
      await new Promise((resolve) => setTimeout(resolve, wait))
      try {
        await takeOver()
        return
      } catch (error) {
        onTrouble(error)
      }
    }
  }

  async function takeOver(): Promise<void> {
    if (!ownership?.isHeld())
      ownership = await claimOwnership(sql, options.ownershipTimeoutMilliseconds ?? 10_000, () =>
        halt(new SomaError('dependency_unavailable', 'The connection that holds the ownership of the runs was lost.')),
      )
    await index.catchUp()
    const open = await index.open()
    const loaded: LiveRun[] = []
    const queue = [...open]
    const reader = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const [started, ...past] = await journal.read(next.tenant, streamOf(next.runId, next.generation))
        if (started) loaded.push(load(started, past))
      }
    }
    await Promise.all(Array.from({ length: READERS }, reader))
    // Only now: a parent may speak to its children at once.
    for (const run of loaded) execute(run)
  }

  async function owned(): Promise<void> {
    if (isStopping) throw new SomaError('shutting_down', 'The server is stopping and takes no new work.')
    await resuming
    if (!ownership?.isHeld())
      throw new SomaError('dependency_unavailable', 'The workflow engine has not taken over the runs. Try again in a moment.', {
        retryAfterSeconds: 1,
      })
  }

  async function liveOrThrow(tenant: string, runId: string): Promise<LiveRun> {
    await owned()
    const run = engine.liveRun(tenant, runId)
    if (run) return run
    const known = await index.get(tenant, runId)
    if (known) throw new SomaError('conflict', `Run ${runId} has ended (${known.status}).`, { status: known.status })
    throw new SomaError('not_found', `There is no run ${runId}.`, { runId })
  }

  async function historyOf(tenant: string, runId: string): Promise<{ run: IndexedRun; entries: JournalEntry[] }> {
    const run = await index.get(tenant, runId)
    if (!run) throw new SomaError('not_found', `There is no run ${runId}.`, { runId })
    return { run, entries: await journal.read(tenant, streamOf(runId, run.generation)) }
  }

  async function describe(tenant: string, runId: string): Promise<RunDescription | undefined> {
    const known = await index.get(tenant, runId)
    if (!known) return undefined
    const { generation, ...description } = known
    const departure = engine.liveRun(tenant, runId)?.departure
    if (departure) return { ...description, error: { code: departure.code, message: departure.message } }
    if (known.status !== 'completed') return description
    const end = await journal.readLast(tenant, streamOf(runId, generation))
    return { ...description, output: (end?.payload as { output?: unknown } | undefined)?.output }
  }

  async function replay(tenant: string, runId: string, input?: unknown) {
    const { run, entries } = await historyOf(tenant, runId)
    const workflow = workflows.get(run.workflow)
    if (!workflow) throw unknownWorkflow(run.workflow, workflows.keys())
    return replayRecord({ runId, entries, workflow, input })
  }

  return {
    async start({ workflows: definitions, activities }: WorkflowsOptions) {
      workflows = new Map(definitions.map((definition) => [definition.name, definition.run]))
      engine.activities = activities
      isStopping = false
      await takeOver()
    },
    async startRun({ workflow, runId, tenant, input }) {
      await owned()
      requireRunId(runId)
      if (!workflows.has(workflow)) throw unknownWorkflow(workflow, workflows.keys())
      const payload: StartedPayload = { workflow, input: input ?? null, generation: 1 }
      try {
        const [started] = await journal.append({
          tenant,
          stream: streamOf(runId, 1),
          expectedSeq: 0,
          entries: [{ kind: 'run.started', payload }],
        })
        index.note([started as JournalEntry])
        beginRun(started as JournalEntry)
        return { runId, tenant, workflow, status: 'running', startedAt: (started as JournalEntry).at }
      } catch (error) {
        if (!SomaError.is(error, 'stream_conflict')) throw error
        return (await describe(tenant, runId)) as RunDescription
      }
    },
    async signal({ tenant, runId, name, payload }) {
      await (await liveOrThrow(tenant, runId)).signal(name, payload)
    },
    async cancel({ tenant, runId, reason }) {
      await (await liveOrThrow(tenant, runId)).requestCancel(reason)
    },
    async query({ tenant, runId }) {
      const run = engine.liveRun(tenant, runId)
      if (run) return run.state
      // State is not recorded: it follows from the record.
      return (await replay(tenant, runId)).state
    },
    describe: ({ tenant, runId }) => describe(tenant, runId),
    async list(query) {
      return (await index.list(query)).map(({ generation: _, ...description }) => description)
    },
    async result<Output>({ tenant, runId }: { tenant: string; runId: string }) {
      const key = keyOf(tenant, runId)
      await resuming
      return new Promise<Output>((resolve, reject) => {
        const waiter = { resolve: resolve as (value: unknown) => void, reject }
        const others = waiters.get(key) ?? new Set()
        others.add(waiter)
        waiters.set(key, others)
        if (runs.has(key)) return
        historyOf(tenant, runId).then(({ entries }) => {
          const end = entries.findLast(isEnd)
          if (end && end.kind !== 'run.continued') settleWaiters(tenant, runId, end)
        }, reject)
      })
    },
    async history({ tenant, runId }) {
      return (await historyOf(tenant, runId)).entries
    },
    async replay({ tenant, runId, input }) {
      const { state: _, ...result } = await replay(tenant, runId, input)
      return result
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    version: () => sql.version(),
    async stop() {
      isStopping = true
      await resuming
      await Promise.all([...runs.values()].map((run) => run.park()))
      runs.clear()
      await index.flush()
      await ownership?.release()
      ownership = undefined
    },
  }
}

const keyOf = (tenant: string, runId: string) => `${tenant}\n${runId}`

function runIdOf(started: JournalEntry): string {
  return started.stream.split('/')[1] as string
}
