/** One subscriber's mistake is its own: the others go on hearing. */
export function warnIfThrows(work: () => void): void {
  try {
    work()
  } catch (error) {
    process.emitWarning(asError(error))
  }
}

export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
