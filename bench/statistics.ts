/** The value that a share of all values do not exceed. `share` 0.5 is the median. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))
  return sorted[place] ?? Number.NaN
}

/** Of an even number of values, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2
}

/** Calls `task` for 0 to `count` - 1, at the most `atOnce` at a time. Returns how long all took, in seconds. */
export async function timeTogether(count: number, atOnce: number, task: (index: number) => Promise<void>): Promise<number> {
  let next = 0
  const lane = async () => {
    while (next < count) await task(next++)
  }
  const before = performance.now()
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane))
  return (performance.now() - before) / 1000
}

/** Calls `task` again and again, at the most `atOnce` at a time, until so many seconds are over and what was begun then has ended. */
export async function repeatFor(seconds: number, atOnce: number, task: () => Promise<void>): Promise<void> {
  const end = performance.now() + seconds * 1000
  const lane = async () => {
    while (performance.now() < end) await task()
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
}
