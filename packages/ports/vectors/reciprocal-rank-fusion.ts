/** Softens the lead of the first ranks; the value of Cormack, Clarke and Büttcher, SIGIR 2009. */
const SMOOTHING = 60

/**
 * One ranking out of several, by the sum of 1 / (60 + rank). Only ranks count, so scores of different kinds need not be comparable.
 * The score is scaled to 1 for what is first everywhere. Ties keep the order of the first ranking.
 */
export function fuseRankings<Item extends { id: string }>(rankings: readonly (readonly Item[])[]): (Item & { score: number })[] {
  const fused = new Map<string, Item & { score: number }>()
  for (const ranking of rankings) {
    for (const [index, item] of ranking.entries()) {
      const share = (SMOOTHING + 1) / (SMOOTHING + index + 1) / rankings.length
      const known = fused.get(item.id)
      fused.set(item.id, { ...item, score: (known?.score ?? 0) + share })
    }
  }
  return [...fused.values()].sort((one, other) => other.score - one.score)
}
