import { SomaError } from '@soma/contracts/errors'
import type { ActivityOptions, WorkflowContext } from '@soma/contracts/workflow'

export interface MemoryWorld {
  runId: string
  tenant: string
  /** Answers activities. */
  activity(name: string, input: unknown, options: ActivityOptions): Promise<unknown>
  /** Answers child workflows. */
  child(workflow: string, input: unknown): Promise<unknown>
}

export interface MemoryContext extends WorkflowContext {
  /** What was published, in order. */
  readonly published: readonly unknown[]
  signal(name: string, payload: unknown): void
  cancel(): void
}

/**
 * A workflow context that lives in memory and lasts as long as the process: for running a workflow against recorded answers. Time is
 * its own and passes only by waiting: sleeping takes no time, and a wait that can run out does so when its signal is not there yet.
 */
export function createMemoryContext(world: MemoryWorld): MemoryContext {
  const published: unknown[] = []
  const signals = new Map<string, unknown[]>()
  const waiting = new Map<string, ((payload: unknown) => void)[]>()
  let time = 0
  let uuids = 0
  let isCancelled = false
  let announceCancellation: () => void = () => undefined
  const cancellation = new Promise<void>((resolve) => {
    announceCancellation = resolve
  })

  const contextThat = (stopsOnCancel: boolean): MemoryContext => {
    /** Does the work unless the run was cancelled, and stops waiting for it when it is. */
    const unlessCancelled = async <T>(work: () => Promise<T>): Promise<T> => {
      const cancelled = () => new SomaError('cancelled', 'The run was cancelled.')
      if (!stopsOnCancel) return work()
      if (isCancelled) throw cancelled()
      const stop = cancellation.then(() => {
        throw cancelled()
      })
      return Promise.race([work(), stop])
    }
    return {
      runId: world.runId,
      tenant: world.tenant,
      published,
      get cancelRequested() {
        return isCancelled
      },
      activity: <Output>(name: string, input: unknown, options: ActivityOptions = {}) =>
        unlessCancelled(() => world.activity(name, structuredClone(input), options)) as Promise<Output>,
      child: <Output>(workflow: string, input: unknown) =>
        unlessCancelled(() => world.child(workflow, structuredClone(input))) as Promise<Output>,
      sleep: (milliseconds) =>
        unlessCancelled(async () => {
          time += milliseconds
        }),
      waitForSignal: <Payload>(name: string, options: { timeoutMilliseconds?: number } = {}) =>
        unlessCancelled(async () => {
          const kept = signals.get(name)
          if (kept && kept.length > 0) return kept.shift()
          if (options.timeoutMilliseconds !== undefined) {
            time += options.timeoutMilliseconds
            return undefined
          }
          return new Promise<unknown>((resolve) => {
            waiting.set(name, [...(waiting.get(name) ?? []), resolve])
          })
        }) as Promise<Payload | undefined>,
      publishState: (state) => published.push(structuredClone(state)),
      all: runAll,
      now: () => time,
      uuid: () => `00000000-0000-4000-8000-${String(++uuids).padStart(12, '0')}`,
      patched: async () => true,
      continueAsNew: async () => {
        throw new SomaError('workflow_failed', 'A run in memory can not go on as a new one.')
      },
      uncancellable: (task) => task(contextThat(false)),
      signal(name, payload) {
        const [first, ...rest] = waiting.get(name) ?? []
        if (!first) signals.set(name, [...(signals.get(name) ?? []), payload])
        else {
          waiting.set(name, rest)
          first(payload)
        }
      },
      cancel() {
        isCancelled = true
        announceCancellation()
      },
    }
  }
  return contextThat(true)
}

async function runAll<T>(tasks: readonly (() => Promise<T>)[], options: { concurrency?: number } = {}): Promise<T[]> {
  const results: T[] = []
  const queue = tasks.entries()
  const lane = async () => {
    for (const [index, task] of queue) results[index] = await task()
  }
  const lanes = Math.min(tasks.length, options.concurrency ?? tasks.length)
  await Promise.all(Array.from({ length: lanes }, lane))
  return results
}
