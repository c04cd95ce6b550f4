import { setTimeout as pass } from 'node:timers/promises'

/** Ends early when the signal is aborted. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return pass(milliseconds, undefined, { signal }).catch(() => undefined)
}
