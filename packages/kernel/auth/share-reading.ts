/**
 * Makes many who ask at once share what is read. Whoever asks while a reading is under way gets the one after it, which sees what is
 * there now.
 */
export function shareReading(read: () => Promise<void>): () => Promise<void> {
  let current: Promise<void> | undefined
  let next: Promise<void> | undefined

  return function readNow(): Promise<void> {
    if (next) return next
    if (!current) {
      current = read().finally(() => {
        current = undefined
      })
      return current
    }
    next = current
      .catch(() => undefined)
      .then(() => {
        next = undefined
        return readNow()
      })
    return next
  }
}
