import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { SomaError } from '@soma/contracts/errors'
import type { ActivityOptions, WorkflowContext } from '@soma/contracts/workflow'
import { dequal } from 'dequal'
import { asRecorded, type RecordedEntry, type RecordedError, revive, type StepPayload } from './record.ts'

/** A thing the workflow asked for that has no outcome yet. */
export interface Command {
  step: number
  kind: 'activity' | 'timer' | 'child'
  name: string
  label?: string
  input?: unknown
  options?: ActivityOptions
  /** Of a timer: milliseconds since 1970. */
  until?: number
  runId?: string
  /** True once the record holds its start, so that it is taken up again rather than begun. */
  begun: boolean
  attempt: number
  /** A time-out whose signal came first is dropped. */
  dropped: boolean
}

/** What the world outside must do for a run. The live host does it; the replaying host never does. */
export interface Host {
  /** True for a host that only replays: nothing is ever begun, and what the record lacks stays open. */
  readonly replayOnly: boolean
  begin(command: Command): void
  /** The workflow asked for something that its past already held, or no longer needs it. */
  drop(command: Command): void
  /** Records that the run goes the new way. False when it passed the place before the change was made. */
  markPatch(id: string): boolean
  publish(state: unknown): void
}

interface Waiting {
  command?: Command
  resolve(value: unknown): void
  reject(error: unknown): void
  cancellable: boolean
}

/** Thrown through the workflow to end this generation; not an error anybody sees. */
export class ContinueAsNew {
  readonly input: unknown
  constructor(input: unknown) {
    this.input = input
  }
}

/** The workflow asked for something else than its record holds. */
export class Nondeterminism extends SomaError {
  constructor(step: number, expected: string, got: string, label?: string) {
    const place = label ? `step ${step} (${label})` : `step ${step}`
    super(
      'workflow_nondeterministic',
      `The workflow departs from its record at ${place}: the record has ${expected}, the workflow asked for ${got}.`,
      { step, label, expected, got },
    )
  }
}

/**
 * Runs a workflow function against a record. Entries are delivered one at a time and the workflow is left to come to rest between
 * two of them, so it sees the same order live, after a crash and in a replay.
 */
export class Execution {
  readonly runId: string
  readonly tenant: string
  /** Commands matched against the record so far. */
  matched = 0
  cancelRequested = false
  private readonly host: Host
  private nextStep = 1
  private randomCount = 0
  private time: number
  private readonly recorded = new Map<number, StepPayload & { kind: string }>()
  private readonly patches = new Set<string>()
  private readonly decidedPatches = new Map<string, boolean>()
  private readonly waiting = new Map<number, Waiting>()
  private readonly waitingForPatch = new Map<string, Waiting>()
  private readonly dropped = new Set<number>()
  private readonly signals = new Map<string, unknown[]>()
  private readonly waitingForSignal = new Map<string, Waiting[]>()
  /** Steps whose entries were not delivered yet. While there are any, the run is in its past. */
  private undelivered: number
  private heldBack: Command[] = []
  private failure: unknown

  constructor(options: { runId: string; tenant: string; startedAt: string; past: readonly RecordedEntry[]; host: Host }) {
    this.runId = options.runId
    this.tenant = options.tenant
    this.time = Date.parse(options.startedAt)
    this.host = options.host
    this.undelivered = options.past.length
    for (const entry of options.past) this.foresee(entry)
  }

  /** Learns what the record holds, so that commands can be matched when the workflow makes them. */
  private foresee(entry: RecordedEntry): void {
    const payload = entry.payload as StepPayload & { id?: string }
    if (entry.kind === 'patch.marked') this.patches.add(payload.id as string)
    if (typeof payload?.step !== 'number') return
    const known = this.recorded.get(payload.step)
    this.recorded.set(payload.step, { ...known, ...payload, kind: entry.kind })
  }

  get isReplaying(): boolean {
    return this.undelivered > 0 || this.host.replayOnly
  }

  /** What the workflow asked for that has no outcome yet, in the order asked. */
  get openCommands(): Command[] {
    return [...this.waiting.values()].flatMap((waiting) => waiting.command ?? [])
  }

  /** Delivers what is in the record to the workflow. The caller lets the workflow come to rest before the next. */
  deliver(entry: RecordedEntry): void {
    if (this.undelivered > 0) this.undelivered--
    this.time = Math.max(this.time, Date.parse(entry.at))
    const payload = entry.payload as StepPayload & { id?: string; signal?: string; value?: unknown }
    switch (entry.kind) {
      case 'step.completed':
      case 'child.completed':
        this.settle(payload, entry.kind, (waiting) => waiting.resolve(payload.output))
        break
      case 'step.failed':
      case 'child.failed':
        this.settle(payload, entry.kind, (waiting) => waiting.reject(revive(payload.error as RecordedError)))
        break
      case 'timer.fired':
        this.settle(payload, entry.kind, (waiting) => waiting.resolve(undefined))
        break
      case 'patch.marked':
        this.waitingForPatch.get(payload.id as string)?.resolve(true)
        this.waitingForPatch.delete(payload.id as string)
        break
      case 'signal.received':
        this.receiveSignal(payload.signal as string, payload.value)
        break
      case 'run.cancel_requested':
        this.cancel()
        break
    }
  }

  /** Once the past is over, hands what the workflow still waits for to the host. To be called when the workflow came to rest. */
  releaseHeldBack(): void {
    if (this.isReplaying) return
    const commands = this.heldBack
    this.heldBack = []
    for (const command of commands) if (this.waiting.get(command.step)?.command === command) this.host.begin(command)
  }

  private settle(payload: StepPayload, kind: string, act: (waiting: Waiting) => void): void {
    const waiting = this.waiting.get(payload.step)
    if (!waiting) {
      if (this.dropped.has(payload.step)) return
      this.fail(new Nondeterminism(payload.step, `${kind} of ${payload.name}`, 'nothing', payload.label))
      return
    }
    this.waiting.delete(payload.step)
    act(waiting)
  }

  private receiveSignal(name: string, value: unknown): void {
    const waiting = this.waitingForSignal.get(name)?.shift()
    if (waiting) {
      if (waiting.command) this.drop(waiting.command)
      waiting.resolve(value)
      return
    }
    const kept = this.signals.get(name) ?? []
    kept.push(value)
    this.signals.set(name, kept)
  }

  private cancel(): void {
    this.cancelRequested = true
    const error = cancelled()
    for (const waiting of [...this.waiting.values()]) {
      if (!waiting.cancellable) continue
      if (waiting.command) this.drop(waiting.command)
      waiting.reject(error)
    }
    for (const [name, list] of this.waitingForSignal) {
      this.waitingForSignal.set(
        name,
        list.filter((waiting) => !waiting.cancellable),
      )
      for (const waiting of list.filter((each) => each.cancellable)) waiting.reject(error)
    }
  }

  /** Forgets a command: its outcome, which may be on its way to the record already, is not waited for. */
  private drop(command: Command): void {
    command.dropped = true
    this.dropped.add(command.step)
    this.waiting.delete(command.step)
    this.host.drop(command)
  }

  /** Ends the execution from outside of the workflow: its promise never settles again, `whenFailed` does. */
  fail(error: unknown): void {
    this.failure ??= error
    this.onFailure?.(this.failure)
  }
  private onFailure?: (error: unknown) => void

  /** Runs the workflow to its end, or until it departs from its record. */
  run(workflow: (context: WorkflowContext, input: unknown) => Promise<unknown>, input: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.onFailure = reject
      if (this.failure) reject(this.failure)
      workflow(this.context(true), input).then(resolve, reject)
    })
  }

  private context(cancellable: boolean): WorkflowContext {
    const execution = this
    return {
      runId: this.runId,
      tenant: this.tenant,
      get cancelRequested() {
        return execution.cancelRequested
      },
      activity: <Output>(name: string, input: unknown, options: ActivityOptions = {}) =>
        this.ask({ kind: 'activity', name, input, options, label: options.label }, cancellable) as Promise<Output>,
      sleep: (milliseconds) => this.ask({ kind: 'timer', name: 'sleep', until: this.time + milliseconds }, cancellable) as Promise<void>,
      waitForSignal: <Payload>(name: string, options: { timeoutMilliseconds?: number } = {}) =>
        this.awaitSignal(name, options.timeoutMilliseconds, cancellable) as Promise<Payload | undefined>,
      publishState: (state) => this.host.publish(state),
      child: <Output>(name: string, input: unknown, options: { runId?: string } = {}) =>
        this.ask({ kind: 'child', name, input, runId: options.runId }, cancellable) as Promise<Output>,
      all: (tasks, options) => allWithLimit(tasks, options?.concurrency),
      now: () => this.time,
      uuid: () => this.uuid(),
      patched: (id) => this.patched(id),
      continueAsNew: (next) => Promise.reject(new ContinueAsNew(next)),
      uncancellable: (task) => task(this.context(false)),
    }
  }

  private ask(
    asked: Pick<Command, 'kind' | 'name' | 'input' | 'options' | 'label' | 'until' | 'runId'>,
    cancellable: boolean,
  ): Promise<unknown> {
    if (this.cancelRequested && cancellable) return Promise.reject(cancelled())
    const step = this.nextStep++
    const command: Command = { ...asked, step, begun: false, attempt: 1, dropped: false }
    if (command.kind === 'child') command.runId ??= `${this.runId}.${step}`
    const mismatch = this.match(command)
    if (mismatch) {
      this.fail(mismatch)
      return new Promise(() => undefined)
    }
    return new Promise((resolve, reject) => {
      this.waiting.set(step, { command, resolve, reject, cancellable })
      if (this.isReplaying) this.heldBack.push(command)
      else this.host.begin(command)
    })
  }

  /** Compares a command with what the record holds under its number, and takes over what was begun. */
  private match(command: Command): Nondeterminism | undefined {
    const record = this.recorded.get(command.step)
    if (!record) return undefined
    const kind = record.kind.startsWith('timer') ? 'timer' : record.kind.startsWith('child') ? 'child' : 'activity'
    const expected = `${kind} ${record.name}`
    const got = `${command.kind} ${command.name}`
    if (expected !== got) return new Nondeterminism(command.step, expected, got, command.label ?? record.label)
    if (kind !== 'timer' && 'input' in record && !dequal(record.input, asRecorded(command.input))) {
      return new Nondeterminism(
        command.step,
        `${expected} with ${short(record.input)}`,
        `${got} with ${short(command.input)}`,
        command.label ?? record.label,
      )
    }
    this.matched++
    command.begun = true
    if (record.until !== undefined) command.until = record.until
    if (record.attempt !== undefined && record.kind === 'step.retried') command.attempt = record.attempt + 1
    return undefined
  }

  private awaitSignal(name: string, timeout: number | undefined, cancellable: boolean): Promise<unknown> {
    if (this.cancelRequested && cancellable) return Promise.reject(cancelled())
    const kept = this.signals.get(name)
    if (kept && kept.length > 0) return Promise.resolve(kept.shift())
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { resolve, reject, cancellable }
      const list = this.waitingForSignal.get(name) ?? []
      list.push(waiting)
      this.waitingForSignal.set(name, list)
      if (timeout === undefined) return
      const timer = this.ask({ kind: 'timer', name: `timeout of signal ${name}`, until: this.time + timeout }, cancellable)
      waiting.command = this.waiting.get(this.nextStep - 1)?.command
      timer.then(
        () => {
          const rest = this.waitingForSignal.get(name)
          if (rest)
            this.waitingForSignal.set(
              name,
              rest.filter((each) => each !== waiting),
            )
          resolve(undefined)
        },
        () => undefined,
      )
    })
  }

  private patched(id: string): Promise<boolean> {
    const decided = this.decidedPatches.get(id)
    if (decided !== undefined) return Promise.resolve(decided)
    const marked = this.patches.has(id)
    const takesNewWay = marked || (!this.isReplaying && this.host.markPatch(id))
    this.decidedPatches.set(id, takesNewWay)
    if (!takesNewWay) return Promise.resolve(false)
    return new Promise((resolve, reject) => {
      this.waitingForPatch.set(id, { resolve: () => resolve(true), reject, cancellable: false })
    })
  }

  private uuid(): string {
    const hex = sha256Hex(`${this.tenant}\n${this.runId}\n${this.randomCount++}`)
    const variant = ((Number.parseInt(hex.slice(16, 18), 16) & 0x3f) | 0x80).toString(16)
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(18, 20)}-${hex.slice(20, 32)}`
  }
}

/** In plain JavaScript, so that an execution also runs where there is nothing but the language. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)))
}

export function cancelled(): SomaError {
  return new SomaError('cancelled', 'The run was cancelled.')
}

function short(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing'
  return text.length > 300 ? `${text.slice(0, 297)}…` : text
}

async function allWithLimit<T>(tasks: readonly (() => Promise<T>)[], concurrency = tasks.length): Promise<T[]> {
  const results = new Array<T>(tasks.length)
  let next = 0
  const lane = async () => {
    while (next < tasks.length) {
      const index = next++
      results[index] = await (tasks[index] as () => Promise<T>)()
    }
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(concurrency, tasks.length)) }, lane))
  return results
}
