/**
 * Looks again and again, each time so many milliseconds after the last look has ended, until it is stopped.
 * @param look never rejects
 * @returns how to stop; a look under way ends by itself
 */
export function keepLooking(look: () => Promise<void>, everyMilliseconds: number): () => void {
  let isStopped = false
  let next: NodeJS.Timeout
  const lookLater = () => {
    next = setTimeout(async () => {
      await look()
      if (!isStopped) lookLater()
    }, everyMilliseconds).unref()
  }
  lookLater()
  return () => {
    isStopped = true
    clearTimeout(next)
  }
}
