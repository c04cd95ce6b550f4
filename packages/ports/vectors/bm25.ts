import { hash } from 'node:crypto'

/** A vector of which only the values that are not zero are said. */
export interface SparseVector {
  indices: number[]
  values: number[]
}

/** How soon a word that is repeated counts no more, and how much a long text loses; the usual values of BM25. */
const SATURATION = 1.2
const LENGTH_PENALTY = 0.75
/** Words of a text of average length. It stays the same while a collection grows, so that what is stored stays comparable. */
const AVERAGE_LENGTH = 256

/**
 * A text as BM25 weighs it (Robertson and Zaragoza, 2009), without how rare its words are: that changes with every text that is stored,
 * so the server weighs it in at the search.
 */
export function weighText(text: string): SparseVector {
  const words = wordsOf(text)
  const counts = new Map<number, number>()
  for (const word of words) counts.set(indexOf(word), (counts.get(indexOf(word)) ?? 0) + 1)
  const damping = SATURATION * (1 - LENGTH_PENALTY + (LENGTH_PENALTY * words.length) / AVERAGE_LENGTH)
  return {
    indices: [...counts.keys()],
    values: [...counts.values()].map((count) => (count * (SATURATION + 1)) / (count + damping)),
  }
}

/** What a search looks for: each word once. */
export function weighQuery(text: string): SparseVector {
  const indices = [...new Set(wordsOf(text).map(indexOf))]
  return { indices, values: indices.map(() => 1) }
}

/** Runs of letters and digits in any script, in lower case; everything else parts them, so that parts of identifiers are words. */
function wordsOf(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  )
}

/** A word's place in the vector, 32 bits: of a million words one in four thousand shares its place with another. */
function indexOf(word: string): number {
  return Number.parseInt(hash('sha256', word, 'hex').slice(0, 8), 16)
}
