import type { Broadcast } from '@soma/ports/broadcast/port'
import { z } from 'zod'

/** The channel on which the orchestrator says that a run changed. */
const CHANNEL = 'live'
const Change = z.object({ tenant: z.string(), run: z.string() })

export interface LiveRuns {
  /**
   * Resolves when the run or one of its children changed after the call before, or after `atMostMilliseconds`: nothing is lost between two
   * calls of one watcher.
   */
  watch(tenant: string, run: string): { changed(atMostMilliseconds: number, signal: AbortSignal): Promise<void>; end(): void }
  stop(): Promise<void>
}

export async function createLiveRuns(broadcast: Broadcast): Promise<LiveRuns> {
  const watchers = new Set<{ tenant: string; run: string; note(): void }>()
  const noteAll = () => {
    for (const watcher of watchers) watcher.note()
  }
  const stop = await broadcast.subscribe(
    CHANNEL,
    (message) => {
      const { tenant, run } = Change.parse(message)
      for (const watcher of watchers) {
        // Children are named after the run they belong to.
        if (watcher.tenant === tenant && (run === watcher.run || run.startsWith(`${watcher.run}.`))) watcher.note()
      }
    },
    noteAll,
  )
  return {
    stop,
    watch(tenant, run) {
      let hasChanged = false
      let wake: () => void = () => undefined
      const watcher = {
        tenant,
        run,
        note() {
          hasChanged = true
          wake()
        },
      }
      watchers.add(watcher)
      return {
        async changed(atMost, signal) {
          if (!hasChanged && !signal.aborted) {
            await new Promise<void>((resolve) => {
              const timer = setTimeout(() => wake(), atMost)
              wake = () => {
                clearTimeout(timer)
                signal.removeEventListener('abort', wake)
                resolve()
              }
              signal.addEventListener('abort', wake)
            })
          }
          hasChanged = false
        },
        end: () => watchers.delete(watcher),
      }
    },
  }
}
