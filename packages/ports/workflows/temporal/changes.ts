import { randomUUID } from 'node:crypto'
import type { RunDescription } from '@soma/contracts/workflow'
import type { Sql } from '../../sql/port.ts'
import type { Workflows } from '../port.ts'

const CHANNEL = 'workflow_changes'
/** Milliseconds in which changes of one run are told to other processes as one. */
const TOGETHER = 50

type Change = Parameters<Parameters<Workflows['onChange']>[0]>[0]
type Told = Pick<Change, 'tenant' | 'runId' | 'status'> & { from: string }

/** Tells of changes: in this process with the state, in others that there was one. */
export async function openChanges(sql: Sql, onMissed: () => void) {
  const self = randomUUID()
  const listeners = new Set<(change: Change) => void>()
  const waiting = new Map<string, Told>()
  let timer: NodeJS.Timeout | undefined
  const tell = (change: Change) => {
    for (const listener of listeners) listener(change)
  }
  const stopListening = await sql.listen(
    CHANNEL,
    (text) => {
      const { from, ...change } = JSON.parse(text) as Told
      if (from !== self) tell(change)
    },
    onMissed,
  )

  function tellOthers(): void {
    timer = undefined
    const told = [...waiting.values()]
    waiting.clear()
    // A hint: whoever misses it asks, or hears of the next change.
    for (const each of told) void sql.notify(CHANNEL, JSON.stringify(each)).catch(() => undefined)
  }

  return {
    publish(run: { tenant: string; runId: string }, status: RunDescription['status'], state?: unknown): void {
      const { tenant, runId } = run
      tell({ tenant, runId, status, ...(state === undefined ? {} : { state }) })
      waiting.set(`${tenant}\n${runId}`, { tenant, runId, status, from: self })
      timer ??= setTimeout(tellOthers, TOGETHER)
    },
    subscribe(listener: (change: Change) => void): () => void {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close(): Promise<void> {
      clearTimeout(timer)
      tellOthers()
      await stopListening()
    },
  }
}
