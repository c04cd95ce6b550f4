import { SomaError } from '@soma/contracts/errors'

/** A request to a model server that may take long, and must be stoppable at any moment. */
export interface Call {
  /** Closes the connection, by which a server knows that nobody wants the answer. */
  signal: AbortSignal
  /**
   * Waits for work that heeds the signal, but not for ever.
   * @throws `dependency_unavailable` after `milliseconds`; the reason of a signal that was aborted
   */
  within<Result>(milliseconds: number, work: () => PromiseLike<Result>): Promise<Result>
  /** Must come last: closes what is still open. */
  end(): void
}

/** @param server as it is named in sentences */
export function beginCall(server: string, stoppers: readonly AbortSignal[]): Call {
  const own = new AbortController()
  const signal = AbortSignal.any([own.signal, ...stoppers])
  return {
    signal,
    within: async (milliseconds, work) => {
      signal.throwIfAborted()
      const late = () =>
        own.abort(new SomaError('dependency_unavailable', `${server} did not answer within ${milliseconds / 1000} s.`, { milliseconds }))
      const timer = setTimeout(late, milliseconds)
      try {
        return await work()
      } catch (error) {
        throw signal.aborted ? signal.reason : error
      } finally {
        clearTimeout(timer)
      }
    },
    end: () => own.abort(),
  }
}
