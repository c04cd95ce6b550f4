/** Work that can be given up from outside, whether or not it listens. */
export interface Abortable {
  /** Made when it is first asked for: most activities end without a look at it. */
  readonly signal: AbortSignal
  abort(reason: unknown): void
  /** The work's outcome, or the reason of an abort that comes first; the work is then left behind. */
  race<T>(work: Promise<T>): Promise<T>
}

export function createAbortable(): Abortable {
  let controller: AbortController | undefined
  let aborted: { reason: unknown } | undefined
  let giveUp: ((reason: unknown) => void) | undefined
  return {
    get signal() {
      controller ??= new AbortController()
      if (aborted) controller.abort(aborted.reason)
      return controller.signal
    },
    abort(reason) {
      if (aborted) return
      aborted = { reason }
      controller?.abort(reason)
      giveUp?.(reason)
    },
    race: (work) =>
      new Promise((resolve, reject) => {
        giveUp = reject
        if (aborted) reject(aborted.reason)
        work.then(resolve, reject)
      }),
  }
}
