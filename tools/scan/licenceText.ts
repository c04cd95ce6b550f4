import { createRequire } from 'node:module'

interface Listed {
  name: string
  osiApproved: boolean
  licenseText: string
}

interface Known {
  id: string
  osiApproved: boolean
  words: Set<string>
}

/** Below this likeness a text is another licence, or none of the list. */
const ENOUGH = 0.9

let known: Known[] | undefined

/**
 * The licence of the SPDX list whose text is most like this one, by the words they share (Sørensen–Dice). Copyright lines do not
 * count: they differ in every repository.
 * @returns `id` null when no text is alike enough
 */
export function recogniseLicence(text: string): { id: string | null; similarity: number } {
  known ??= load()
  const words = wordsOf(text)
  let best: Known | undefined
  let similarity = 0
  for (const candidate of known) {
    const likeness = dice(words, candidate.words)
    if (likeness > similarity || (likeness === similarity && best && isPreferred(candidate, best))) {
      best = candidate
      similarity = likeness
    }
  }
  const rounded = Math.round(similarity * 1_000) / 1_000
  return { id: best && similarity >= ENOUGH ? best.id : null, similarity: rounded }
}

function load(): Known[] {
  const list = createRequire(import.meta.url)('spdx-license-list/full') as Record<string, Listed>
  return Object.entries(list)
    .filter(([id]) => !/^[AL]?GPL-[\d.]+\+?$/.test(id)) // the old names of -only and -or-later
    .map(([id, { osiApproved, licenseText }]) => ({ id, osiApproved, words: wordsOf(licenseText) }))
}

function wordsOf(text: string): Set<string> {
  const body = text
    .replace(/^[\s#*/;-]*(copyright|\(c\)|©).*$/gim, ' ')
    .replace(/<[^>\n]{0,60}>|\[[^\]\n]{0,60}\]/g, ' ')
    .toLowerCase()
  return new Set(body.match(/[a-z0-9]+/g) ?? [])
}

function dice(a: Set<string>, b: Set<string>): number {
  const [small, large] = a.size < b.size ? [a, b] : [b, a]
  // Texts of very different length can not be alike: no need to count.
  if (small.size / Math.max(1, large.size) < 0.6) return 0
  let shared = 0
  for (const word of small) if (large.has(word)) shared++
  return (2 * shared) / (a.size + b.size)
}

function isPreferred(a: Known, b: Known): boolean {
  if (a.osiApproved !== b.osiApproved) return a.osiApproved
  return a.id.length !== b.id.length ? a.id.length < b.id.length : a.id < b.id
}
