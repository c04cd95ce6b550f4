import { pause } from '../pause.ts'
import { reasonOf } from './settings.ts'

/** Milliseconds before work begins again after a failure: twice as many each time, up to the most. */
const FIRST_PAUSE = 100
export const LONGEST_PAUSE = 10_000
/** Failures in a row before they are spoken of: a topic that was just made has no leader for a moment. */
const WORTH_SAYING = 3

/** Failures in a row of work that goes on by itself. `what` begins the sentence that is said of those that last. */
export function createFailures(what: string) {
  let inARow = 0
  return {
    /** Says what is worth saying, and waits before the next attempt. */
    async pauseAfter(error: unknown, stopping: AbortSignal): Promise<void> {
      if (inARow === WORTH_SAYING) process.emitWarning(`${what}: ${reasonOf(error)}`)
      await pause(Math.min(FIRST_PAUSE * 2 ** inARow++, LONGEST_PAUSE), stopping)
    },
    /** It went well. */
    reset(): void {
      inARow = 0
    },
  }
}
