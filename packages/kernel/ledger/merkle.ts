import { createHash } from 'node:crypto'

/** Merkle trees as in RFC 6962, section 2.1: leaves and nodes are hashed apart, so none passes for the other. Hashes are hex. */

function leafHash(entryHash: string): Buffer {
  return createHash('sha256').update(Buffer.of(0)).update(Buffer.from(entryHash, 'hex')).digest()
}

function nodeHash(left: Buffer, right: Buffer): Buffer {
  return createHash('sha256').update(Buffer.of(1)).update(left).update(right).digest()
}

/** The tree's levels, leaves first. An odd node at the end of a level moves up unchanged. */
function levelsOf(entryHashes: readonly string[]): Buffer[][] {
  const levels = [entryHashes.map(leafHash)]
  for (let level = levels[0] as Buffer[]; level.length > 1; level = levels.at(-1) as Buffer[]) {
    const next: Buffer[] = []
    for (let index = 0; index < level.length; index += 2) {
      const left = level[index] as Buffer
      const right = level[index + 1]
      next.push(right ? nodeHash(left, right) : left)
    }
    levels.push(next)
  }
  return levels
}

/** Root over the hashes of entries, in their order. */
export function merkleRoot(entryHashes: readonly string[]): string {
  if (entryHashes.length === 0) return createHash('sha256').digest('hex')
  const [[root] = []] = levelsOf(entryHashes).slice(-1)
  return (root as Buffer).toString('hex')
}

/** The siblings that lead from each asked-for leaf to the root, lowest first; null where there is none on a level. */
export function inclusionProofs(entryHashes: readonly string[], indexes: readonly number[]): (string | null)[][] {
  const levels = levelsOf(entryHashes)
  return indexes.map((index) =>
    levels.slice(0, -1).map((level, height) => {
      const place = index >> height
      return level[place ^ 1]?.toString('hex') ?? null
    }),
  )
}

/** The root that a proof leads to; equal to the checkpoint's when the entry is one of those it covers. */
export function rootFromProof(entryHash: string, index: number, path: readonly (string | null)[]): string {
  let hash = leafHash(entryHash)
  for (const [height, sibling] of path.entries()) {
    if (sibling === null) continue
    const other = Buffer.from(sibling, 'hex')
    hash = (index >> height) % 2 === 0 ? nodeHash(hash, other) : nodeHash(other, hash)
  }
  return hash.toString('hex')
}
