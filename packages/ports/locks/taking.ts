import { SomaError } from '@soma/contracts/errors'
import type { Lease, Locks } from './port.ts'
import { requireLock, requirePatience, thisProcess } from './rules.ts'
import { createWaitingLines } from './waiting-lines.ts'

/** What a driver brings to taking and waiting. */
interface Taking {
  /** Asks for the lock once. `freeIn`: after how many milliseconds it is worth asking again without being woken. */
  take(name: string, ttlMilliseconds: number, holder: string): Promise<{ lease?: Lease; freeIn: number }>
  /** Calls `wake` with each name that is released, `wakeAll` when some may have been missed. Returns how to stop. */
  onRelease(wake: (name: string) => void, wakeAll: () => void): Promise<() => unknown>
}

/** Taking a lock and waiting for it, the same on every driver: only a release or the end of a lease makes a waiter ask again. */
export function createTaking({ take, onRelease }: Taking): Pick<Locks, 'tryAcquire' | 'acquire'> & { stop(): Promise<void> } {
  const lines = createWaitingLines()
  let listening: Promise<() => unknown> | undefined
  let stopped = false

  function refuseWhenStopped(name: string): void {
    if (stopped) throw new SomaError('shutting_down', `The locks are closed, so "${name}" can not be waited for. Start again to take it.`)
  }

  async function listenForReleases(): Promise<void> {
    listening ??= onRelease(lines.wake, lines.wakeAll)
    try {
      await listening
    } catch (error) {
      listening = undefined
      throw error
    }
  }

  return {
    tryAcquire: async (name, { ttlMilliseconds, holder = thisProcess() }) => {
      requireLock(name, ttlMilliseconds, holder)
      return (await take(name, ttlMilliseconds, holder)).lease
    },
    acquire: async (name, { ttlMilliseconds, waitMilliseconds, holder = thisProcess() }) => {
      requireLock(name, ttlMilliseconds, holder)
      requirePatience(waitMilliseconds)
      const deadline = performance.now() + waitMilliseconds
      refuseWhenStopped(name)
      await listenForReleases()
      return lines.waitFor(name, deadline, async () => {
        refuseWhenStopped(name)
        const { lease, freeIn } = await take(name, ttlMilliseconds, holder)
        return lease ? { result: lease } : { tryAgainIn: freeIn }
      })
    },
    stop: async () => {
      stopped = true
      lines.wakeAll()
      const stopListening = await listening?.catch(() => undefined)
      await stopListening?.()
    },
  }
}
