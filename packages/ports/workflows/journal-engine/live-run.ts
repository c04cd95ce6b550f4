import { isPassing, SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { ActivityFunction, WorkflowFunction } from '@soma/contracts/workflow'
import type { AppendRequest, Journal } from '../../journal/port.ts'
import { Abortable } from '../execution/abortable.ts'
import { type ActivityOutcome, attemptActivity } from '../execution/attempt-activity.ts'
import { type Command, ContinueAsNew, Execution, type Host, Nondeterminism } from '../execution/execution.ts'
import { asRecorded, problemOf, recordError, type StartedPayload, type StepPayload, stepKey, streamOf } from '../execution/record.ts'

/** setTimeout's longest, in milliseconds; longer waits are made of several. */
const LONGEST_TIMER = 2 ** 31 - 1

/** Milliseconds before an attempt is made again that the platform could not judge; doubles up to the longest. */
const ATTEMPT_AGAIN_AFTER = { first: 100, longest: 10_000 }

/** What a run needs of the engine. */
export interface Engine {
  journal: Journal
  activities: Readonly<Record<string, ActivityFunction>>
  isStopping(): boolean
  liveRun(tenant: string, runId: string): LiveRun | undefined
  /** Appended entries, for the index. */
  note(entries: readonly JournalEntry[]): void
  begin(started: JournalEntry): void
  ended(run: LiveRun, end: JournalEntry): void
  changed(run: LiveRun): void
  /** Told of what is tried again until it works. */
  trouble(error: unknown): void
  /** The journal refused an append: memory may be ahead of the record, so every run must be read again. */
  halt(error: unknown): void
}

/** A run in this process: its workflow's promise, its timers, its activities under way. */
export class LiveRun {
  readonly tenant: string
  readonly runId: string
  readonly workflow: string
  readonly startedAt: string
  readonly parent: StartedPayload['parent']
  readonly generation: number
  state: unknown
  /** Why the run is suspended, if it is. */
  departure: Nondeterminism | undefined
  private readonly engine: Engine
  private readonly input: unknown
  private readonly execution: Execution
  private readonly past: readonly JournalEntry[]
  /** The last seq handed to the journal. */
  private seq: number
  private isOver = false
  private inbox: JournalEntry[] = []
  private isPumping = false
  private hasUnseenState = false
  private readonly timers = new Map<number, NodeJS.Timeout>()
  private readonly attempts = new Map<number, Abortable>()
  private readonly underWay = new Set<Promise<unknown>>()

  constructor(engine: Engine, started: JournalEntry, past: readonly JournalEntry[], runId: string) {
    const payload = started.payload as StartedPayload
    this.engine = engine
    this.tenant = started.tenant
    this.runId = runId
    this.workflow = payload.workflow
    this.input = asRecorded(payload.input)
    this.parent = payload.parent
    this.generation = payload.generation
    this.startedAt = started.at
    this.past = past
    this.seq = started.seq + past.length
    const host: Host = {
      replayOnly: false,
      begin: (command) => this.begin(command),
      drop: (command) => this.drop(command),
      markPatch: (id) => {
        this.append([{ kind: 'patch.marked', payload: { id } }])
        return true
      },
      publish: (state) => this.publish(state),
    }
    this.execution = new Execution({ runId: this.runId, tenant: this.tenant, startedAt: started.at, past, host })
  }

  get stream(): string {
    return streamOf(this.runId, this.generation)
  }

  /** Runs the workflow; first through its past, then on. */
  async run(workflow: WorkflowFunction): Promise<void> {
    const outcome = this.execution.run(workflow, this.input).then(
      (output) => this.finish('run.completed', { output: output ?? null }),
      (error) => this.finishWithError(error),
    )
    if (this.past.length > 0) {
      await comeToRest()
      this.inbox = [...this.past, ...this.inbox]
      await this.pump()
    }
    await outcome
  }

  signal(name: string, value: unknown): Promise<void> {
    return this.appendAndDeliver([{ kind: 'signal.received', payload: { signal: name, value: value ?? null } }])
  }

  requestCancel(reason?: string): Promise<void> {
    if (this.execution.cancelRequested) return Promise.resolve()
    return this.appendAndDeliver([{ kind: 'run.cancel_requested', payload: { reason } }])
  }

  /** A child's end is one append with what its parent learns of it. Used by the child. */
  linkEnd(step: number, kind: 'child.completed' | 'child.failed', payload: StepPayload): AppendRequest {
    return { tenant: this.tenant, stream: this.stream, expectedSeq: this.seq++, entries: [{ kind, payload: { ...payload, step } }] }
  }

  /** The workflow sees what a replay will see: values as they come back out of JSON, without what JSON drops. */
  receive(entries: readonly JournalEntry[]): void {
    if (this.isOver) return
    for (const entry of entries) this.inbox.push({ ...entry, payload: asRecorded(entry.payload) })
    void this.pump()
  }

  /** Lets go of the run: no timer fires, no activity's outcome is recorded. Resolves when its activities came to an end. */
  async park(): Promise<void> {
    this.isOver = true
    for (const timer of this.timers.values()) clearTimeout(timer)
    for (const attempt of this.attempts.values()) attempt.abort(new SomaError('shutting_down', 'The server is stopping.'))
    await Promise.allSettled(this.underWay)
  }

  /** Resolves when no activity is under way. */
  async settled(): Promise<void> {
    while (this.underWay.size > 0) await Promise.allSettled(this.underWay)
  }

  private async pump(): Promise<void> {
    if (this.isPumping) return
    this.isPumping = true
    for (let entry = this.inbox.shift(); entry && !this.isOver; entry = this.inbox.shift()) {
      this.execution.deliver(entry)
      // The workflow comes to rest before it sees the next entry, live as in a replay.
      await comeToRest()
      this.execution.releaseHeldBack()
    }
    this.isPumping = false
    if (this.hasUnseenState && !this.execution.isReplaying) this.announceState()
  }

  private publish(state: unknown): void {
    this.state = state
    if (this.execution.isReplaying) this.hasUnseenState = true
    else this.announceState()
  }

  private announceState(): void {
    this.hasUnseenState = false
    if (!this.isOver) this.engine.changed(this)
  }

  private append(entries: AppendRequest['entries']): void {
    // A refused append halts the engine, which reads every run again; there is nothing more to do here.
    this.appendAndDeliver(entries).catch(() => undefined)
  }

  /**
   * Appends to the run's stream and hands the entries to the workflow once they are on disk.
   * @throws `invalid_input` at once, for a payload that can't be written
   */
  private appendAndDeliver(entries: AppendRequest['entries']): Promise<void> {
    if (this.isOver) return Promise.reject(this.overError())
    const appended = this.engine.journal.append({ tenant: this.tenant, stream: this.stream, expectedSeq: this.seq, entries })
    this.seq += entries.length
    return appended.then(
      (written) => {
        this.engine.note(written)
        this.receive(written)
      },
      (error) => {
        this.engine.halt(error)
        throw error
      },
    )
  }

  private overError(): SomaError {
    if (this.departure)
      return new SomaError('workflow_nondeterministic', `Run ${this.runId} is suspended: ${this.departure.message}`, this.departure.details)
    return new SomaError('conflict', `Run ${this.runId} has ended or is parked.`)
  }

  private begin(command: Command): void {
    if (this.isOver || this.engine.isStopping()) return
    if (command.kind === 'timer') this.beginTimer(command)
    else if (command.kind === 'child') this.track(this.beginChild(command))
    else this.track(this.performActivity(command))
  }

  private track(work: Promise<void>): void {
    this.underWay.add(work)
    void work.finally(() => this.underWay.delete(work))
  }

  private drop(command: Command): void {
    clearTimeout(this.timers.get(command.step))
    this.attempts.get(command.step)?.abort(new SomaError('cancelled', 'The run was cancelled.'))
    if (command.kind === 'child' && command.runId)
      void this.engine.liveRun(this.tenant, command.runId)?.requestCancel('its parent was cancelled')
  }

  private beginTimer(command: Command): void {
    if (!command.begun) this.append([{ kind: 'timer.started', payload: { step: command.step, name: command.name, until: command.until } }])
    this.arm(command.step, command.until as number, () =>
      this.append([{ kind: 'timer.fired', payload: { step: command.step, name: command.name } }]),
    )
  }

  private arm(step: number, until: number, fire: () => void): void {
    const left = until - Date.now()
    const timer = setTimeout(
      () => (left > LONGEST_TIMER ? this.arm(step, until, fire) : fire()),
      Math.max(0, Math.min(left, LONGEST_TIMER)),
    )
    this.timers.set(step, timer)
  }

  private async beginChild(command: Command): Promise<void> {
    // Begun before: the child is an open run of its own and tells us its end itself.
    if (command.begun) return
    const runId = command.runId as string
    const { step, name, input } = command
    const taken = await this.engine.journal.read(this.tenant, streamOf(runId, 1), { limit: 1 }).catch((error) => this.engine.halt(error))
    if (!taken || this.isOver || command.dropped) return
    if (taken.length > 0) {
      return this.append([
        { kind: 'child.failed', payload: { step, name, runId, error: { code: 'conflict', message: `A run ${runId} exists already.` } } },
      ])
    }
    const started: StartedPayload = { workflow: name, input: input ?? null, parent: { runId: this.runId, step }, generation: 1 }
    const problem = problemOf('run.started', started)
    if (problem) return this.append([{ kind: 'child.failed', payload: { step, name, runId, error: problem } }])
    const appended = this.engine.journal.append(
      {
        tenant: this.tenant,
        stream: this.stream,
        expectedSeq: this.seq,
        entries: [{ kind: 'child.started', payload: { step, name, runId, input } }],
      },
      { tenant: this.tenant, stream: streamOf(runId, 1), expectedSeq: 0, entries: [{ kind: 'run.started', payload: started }] },
    )
    this.seq++
    try {
      const written = await appended
      this.engine.note(written)
      this.receive(written.slice(0, 1))
      this.engine.begin(written[1] as JournalEntry)
    } catch (error) {
      this.engine.halt(error)
    }
  }

  private async performActivity(command: Command): Promise<void> {
    const { step, name, label, input, options = {} } = command
    const attempts = options.retry?.attempts ?? 1
    for (;;) {
      if (command.until !== undefined && command.attempt > 1) await this.pause(step, command.until)
      if (this.isOver || command.dropped) return
      const outcome = await this.attemptUntilJudged(command)
      if (this.isOver || command.dropped || 'unjudged' in outcome) return
      if ('output' in outcome) return this.recordOutput({ step, name, label, input, output: outcome.output })
      if (command.attempt >= attempts || !isPassing(outcome.error)) {
        return this.append([{ kind: 'step.failed', payload: { step, name, label, input, error: recordError(outcome.error) } }])
      }
      command.until = Date.now() + (options.retry?.backoffMilliseconds ?? 1000) * 2 ** (command.attempt - 1)
      this.append([
        {
          kind: 'step.retried',
          payload: { step, name, label, attempt: command.attempt, until: command.until, error: recordError(outcome.error) },
        },
      ])
      command.attempt++
    }
  }

  private recordOutput(payload: StepPayload): void {
    try {
      this.append([{ kind: 'step.completed', payload }])
    } catch (error) {
      const { output: _, ...rest } = payload
      this.append([{ kind: 'step.failed', payload: { ...rest, error: recordError(error) } }])
    }
  }

  /** Ends at its time, or when the step is given up. */
  private async pause(step: number, until: number): Promise<void> {
    const abortable = new Abortable()
    this.attempts.set(step, abortable)
    await abortable.race(new Promise<void>((resolve) => this.arm(step, until, resolve))).catch(() => undefined)
    this.attempts.delete(step)
  }

  /** @returns `unjudged` only of a step that nobody waits for any more */
  private async attemptUntilJudged(command: Command): Promise<ActivityOutcome> {
    for (let wait = ATTEMPT_AGAIN_AFTER.first; ; wait = Math.min(wait * 2, ATTEMPT_AGAIN_AFTER.longest)) {
      const outcome = await this.attempt(command)
      if (!('unjudged' in outcome)) return outcome
      this.engine.trouble(outcome.unjudged)
      await this.pause(command.step, Date.now() + wait)
      if (this.isOver || command.dropped) return outcome
    }
  }

  private async attempt(command: Command): Promise<ActivityOutcome> {
    const abortable = new Abortable()
    this.attempts.set(command.step, abortable)
    const { tenant, runId } = this
    const outcome = await attemptActivity(this.engine.activities, {
      name: command.name,
      label: command.label,
      input: command.input,
      timeoutMilliseconds: command.options?.timeoutMilliseconds,
      about: { tenant, runId, key: stepKey(this.stream, command.step), attempt: command.attempt },
      abortable,
    })
    this.attempts.delete(command.step)
    return outcome
  }

  private finishWithError(error: unknown): Promise<void> {
    if (error instanceof ContinueAsNew) return this.continueAsNew(error.input)
    if (error instanceof Nondeterminism) return this.suspend(error)
    if (this.execution.cancelRequested && SomaError.is(error, 'cancelled'))
      return this.finish('run.cancelled', { error: recordError(error) })
    return this.finish('run.failed', { error: recordError(error) })
  }

  /** The code departs from the record: the run keeps its record and its place, and goes on when code that matches is started. */
  private async suspend(departure: Nondeterminism): Promise<void> {
    if (this.isOver) return
    this.isOver = true
    this.departure = departure
    this.abandonOpenCommands()
    this.engine.changed(this)
  }

  private abandonOpenCommands(): void {
    for (const command of this.execution.openCommands) this.drop(command)
  }

  private async finish(
    kind: 'run.completed' | 'run.failed' | 'run.cancelled',
    payload: { output?: unknown; error?: StepPayload['error'] },
  ): Promise<void> {
    if (this.isOver) return
    if (this.execution.isReplaying) return this.suspend(new Nondeterminism(this.execution.matched + 1, 'more steps', 'its end'))
    const problem = problemOf(kind, payload)
    if (problem) return this.finish('run.failed', { error: problem })
    const parent = this.parent && this.engine.liveRun(this.tenant, this.parent.runId)
    const ends: AppendRequest[] = [{ tenant: this.tenant, stream: this.stream, expectedSeq: this.seq++, entries: [{ kind, payload }] }]
    if (parent && this.parent) {
      const childKind = kind === 'run.completed' ? 'child.completed' : 'child.failed'
      ends.push(parent.linkEnd(this.parent.step, childKind, { step: this.parent.step, name: this.workflow, runId: this.runId, ...payload }))
    }
    try {
      const written = await this.engine.journal.append(...ends)
      this.isOver = true
      this.abandonOpenCommands()
      this.engine.note(written)
      this.engine.ended(this, written[0] as JournalEntry)
      parent?.receive(written.slice(1))
    } catch (error) {
      this.engine.halt(error)
    }
  }

  private async continueAsNew(input: unknown): Promise<void> {
    if (this.isOver) return
    const next: StartedPayload = { workflow: this.workflow, input: input ?? null, parent: this.parent, generation: this.generation + 1 }
    const problem = problemOf('run.started', next)
    if (problem) return this.finish('run.failed', { error: problem })
    try {
      const written = await this.engine.journal.append(
        { tenant: this.tenant, stream: this.stream, expectedSeq: this.seq++, entries: [{ kind: 'run.continued', payload: {} }] },
        {
          tenant: this.tenant,
          stream: streamOf(this.runId, next.generation),
          expectedSeq: 0,
          entries: [{ kind: 'run.started', payload: next }],
        },
      )
      this.isOver = true
      this.abandonOpenCommands()
      this.engine.note(written)
      this.engine.begin(written[1] as JournalEntry)
    } catch (error) {
      this.engine.halt(error)
    }
  }
}

/** Lets every continuation of the workflow run until all of them wait for something outside. */
function comeToRest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
