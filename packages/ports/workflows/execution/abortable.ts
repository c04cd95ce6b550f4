/**
 * Work that can be given up from outside, whether or not it listens. Every step of every run has one, so it is a class and makes
 * the signal only when it is first asked for: most activities end without a look at it.
 */
export class Abortable {
  private controller: AbortController | undefined
  private aborted: { reason: unknown } | undefined
  private giveUp: ((reason: unknown) => void) | undefined

  get signal(): AbortSignal {
    this.controller ??= new AbortController()
    if (this.aborted) this.controller.abort(this.aborted.reason)
    return this.controller.signal
  }

  abort(reason: unknown): void {
    if (this.aborted) return
    this.aborted = { reason }
    this.controller?.abort(reason)
    this.giveUp?.(reason)
  }

  /** The work's outcome, or the reason of an abort that comes first; the work is then left behind. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.giveUp = reject
      if (this.aborted) reject(this.aborted.reason)
      work.then(resolve, reject)
    })
  }
}
