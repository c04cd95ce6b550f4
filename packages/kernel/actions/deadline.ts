import { SomaError } from '@soma/contracts/errors'

/** What ends a call that does not end by itself. */
export interface CallLimits {
  operation: string
  seconds: number
  /** The caller's: aborted when the call is no longer wanted. */
  signal: AbortSignal
}

/**
 * Runs `work` until it ends, the caller gives it up or its time is over, also when it does not heed the signal it gets.
 * @throws `tool_timeout`, `cancelled`, and what `work` throws, as a SomaError
 */
export async function withinLimits<Result>(limits: CallLimits, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
  assertWanted(limits)
  const { operation, seconds, signal: caller } = limits
  const controller = new AbortController()
  const ended = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(controller.signal.reason))
  })
  const giveUp = () => controller.abort(asCancelled(operation, caller.reason))
  const timeout = new SomaError('tool_timeout', `${operation} did not answer within ${seconds} seconds.`, { operation })
  const timer = setTimeout(() => controller.abort(timeout), seconds * 1000)
  caller.addEventListener('abort', giveUp)
  try {
    return await Promise.race([work(controller.signal), ended])
  } catch (error) {
    // A tool that heeds the signal throws an error of its own, which says less than why it was ended.
    if (!controller.signal.aborted || saysNothingHappened(error)) throw asToolError(operation, error)
    throw controller.signal.reason
  } finally {
    clearTimeout(timer)
    caller.removeEventListener('abort', giveUp)
  }
}

/** @throws `cancelled` */
export function assertWanted({ operation, signal }: Pick<CallLimits, 'operation' | 'signal'>): void {
  if (signal.aborted) throw asCancelled(operation, signal.reason)
}

/** True when the tool knows that its call had no effect. */
export function saysNothingHappened(error: unknown): boolean {
  return error instanceof SomaError && error.details.happened === false
}

function asCancelled(operation: string, reason: unknown): SomaError {
  if (reason instanceof SomaError) return reason
  return new SomaError('cancelled', `${operation} was given up by its caller.`, { operation }, { cause: reason })
}

function asToolError(operation: string, error: unknown): SomaError {
  if (error instanceof SomaError) return error
  const text = error instanceof Error ? error.message : String(error)
  return new SomaError('tool_failed', `${operation} failed: ${text}`, { operation }, { cause: error })
}
