import { pause } from './pause.ts'
import type { CloudEvent, ConsumeOptions } from './port.ts'
import type { Publish } from './publisher.ts'
import { deadLetter, retryPause } from './rules.ts'

export interface Going {
  /** False when whoever handles the event must not begin anything new. */
  goesOn(): boolean
  /** Ends pauses early. */
  stopping: AbortSignal
}

/** True when the event needs no more: it was handled, or is among the dead letters. False when the handling was stopped before. */
export type Attempt = (event: CloudEvent, going: Going) => Promise<boolean>

/** Handles one event, again with growing pauses when the handler throws, and after the last attempt as a dead letter. */
export function createAttempts({ topic, group, handler, attempts = 5 }: ConsumeOptions, publish: Publish): Attempt {
  return async function attempt(event, { goesOn, stopping }) {
    for (let count = 1; goesOn(); count++) {
      try {
        await handler(event)
        return true
      } catch (error) {
        if (count >= attempts) {
          await publish(`${topic}.dead`, [deadLetter({ topic, group, attempts }, event, error)])
          return true
        }
      }
      await pause(retryPause(count), stopping)
    }
    return false
  }
}
