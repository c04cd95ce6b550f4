/** The longest a Node timer can run. */
const LONGEST_TIMER = 2 ** 31 - 1

interface Line {
  waiting: number
  /** Resolves when everybody who came earlier has left. */
  last: Promise<void>
  /** Makes the first in line look again. */
  wake(): void
}

/**
 * Waiters for a name stand in line, and only the first asks whether it is free: a thousand waiters in a process cost one question a
 * release, and get their turn in the order they came.
 */
export function createWaitingLines() {
  const lines = new Map<string, Line>()

  /** @param attempt asks once: gives the result, or after how many milliseconds it is worth asking again without being woken */
  async function waitFor<Result>(
    name: string,
    deadline: number,
    attempt: () => Promise<{ result: Result } | { tryAgainIn: number }>,
  ): Promise<Result | undefined> {
    const line = lines.get(name) ?? { waiting: 0, last: Promise.resolve(), wake: () => undefined }
    lines.set(name, line)
    line.waiting++
    const earlier = line.last
    const left = openPromise<void>()
    line.last = earlier.then(() => left.promise)
    try {
      if (!(await settlesWithin(earlier, deadline - performance.now()))) return undefined
      for (;;) {
        // Before asking, so that a release right after the answer is not missed.
        const woken = openPromise<void>()
        line.wake = woken.resolve
        const answer = await attempt()
        if ('result' in answer) return answer.result
        const remaining = deadline - performance.now()
        if (remaining <= 0) return undefined
        await settlesWithin(woken.promise, Math.min(remaining, answer.tryAgainIn))
      }
    } finally {
      left.resolve()
      line.waiting--
      if (line.waiting === 0) lines.delete(name)
    }
  }

  return {
    waitFor,
    wake: (name: string) => lines.get(name)?.wake(),
    wakeAll: () => {
      for (const line of lines.values()) line.wake()
    },
  }
}

/** False when the promise is still open after so long. */
async function settlesWithin(promise: Promise<void>, milliseconds: number): Promise<boolean> {
  const late = openPromise<boolean>()
  const timer = setTimeout(() => late.resolve(false), Math.min(milliseconds, LONGEST_TIMER))
  try {
    return await Promise.race([promise.then(() => true), late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function openPromise<Value>(): { promise: Promise<Value>; resolve: (value: Value) => void } {
  let resolve: (value: Value) => void = () => undefined
  const promise = new Promise<Value>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
