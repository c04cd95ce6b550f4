/** Remembers that something changed until it is asked for, so that nothing is lost between two looks. */
export interface ChangeSignal {
  /** Resolves when something changed after the call before, or after so many milliseconds, or when the signal is aborted. */
  next(atMostMilliseconds: number, signal: AbortSignal): Promise<void>
  stop(): void
}

/** @param subscribe calls back at each change; gives how to stop */
export function changeSignal(subscribe: (listener: () => void) => () => void): ChangeSignal {
  let hasChanged = false
  let wake: () => void = () => undefined
  const stop = subscribe(() => {
    hasChanged = true
    wake()
  })
  return {
    stop,
    async next(atMost, signal) {
      if (!hasChanged && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(() => wake(), atMost)
          wake = () => {
            clearTimeout(timer)
            signal.removeEventListener('abort', wake)
            resolve()
          }
          signal.addEventListener('abort', wake)
        })
      }
      hasChanged = false
    },
  }
}
