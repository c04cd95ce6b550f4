import type { Broadcast } from '@soma/ports/broadcast/port'
import { z } from 'zod'
import { type ChangeSignal, changeSignal } from './change-signal.ts'

/** The channel on which the orchestrator says that a run changed. */
const CHANNEL = 'live'
const Change = z.object({ tenant: z.string(), run: z.string() })

export interface LiveRuns {
  /** Tells of changes of the run and of its children. */
  watch(tenant: string, run: string): ChangeSignal
  stop(): Promise<void>
}

export async function createLiveRuns(broadcast: Broadcast): Promise<LiveRuns> {
  const watchers = new Set<{ tenant: string; run: string; note(): void }>()
  const stop = await broadcast.subscribe(
    CHANNEL,
    (message) => {
      const { tenant, run } = Change.parse(message)
      for (const watcher of watchers) {
        // Children are named after the run they belong to.
        if (watcher.tenant === tenant && (run === watcher.run || run.startsWith(`${watcher.run}.`))) watcher.note()
      }
    },
    () => {
      for (const watcher of watchers) watcher.note()
    },
  )
  return {
    stop,
    watch: (tenant, run) =>
      changeSignal((note) => {
        const watcher = { tenant, run, note }
        watchers.add(watcher)
        return () => watchers.delete(watcher)
      }),
  }
}
