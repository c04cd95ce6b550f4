import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Workflows } from '@soma/ports/workflows/port'

/** Milliseconds between two announcements of one run: people look at them, and states follow each other fast. */
const EVERY = 100

/** The channel on which runs are said to have changed. */
export const LIVE = 'live'

/** Says which run changed; who wants to know what it is now asks. Returns how to stop. */
export function announceChanges({ workflows, broadcast }: { workflows: Workflows; broadcast: Broadcast }): () => Promise<void> {
  const waiting = new Map<string, NodeJS.Timeout>()
  const stop = workflows.onChange(({ tenant, runId }) => {
    const key = `${tenant}\n${runId}`
    if (waiting.has(key)) return
    const announce = () => {
      waiting.delete(key)
      // Not durable on purpose: a watcher that missed it sees the next one, or asks.
      void broadcast.publish(LIVE, { tenant, run: runId }).catch(() => undefined)
    }
    waiting.set(key, setTimeout(announce, EVERY))
  })
  return async () => {
    stop()
    for (const timer of waiting.values()) clearTimeout(timer)
  }
}
