import { hash } from 'node:crypto'

/** Merkle trees as in RFC 6962, section 2.1: leaves and nodes are hashed apart, so none passes for the other. A leaf is a text, hashes are hex. */

function leafHash(leaf: string): string {
  return hash('sha256', `\0${leaf}`, 'hex')
}

/** Put together in one place again and again: a tree of a million leaves has as many nodes. */
const node = Buffer.alloc(1 + 2 * 32, 1)

function nodeHash(left: string, right: string): string {
  node.write(left, 1, 'hex')
  node.write(right, 1 + 32, 'hex')
  return hash('sha256', node, 'hex')
}

/** Root over leaves that come one after another; what it holds grows with the logarithm of their number. */
export function createMerkleRoot() {
  /** Roots of the full subtrees so far, largest first: one for each bit of the count. */
  let subtrees: string[] = []
  let count = 0
  return {
    add(leaf: string): void {
      let root = leafHash(leaf)
      for (let rest = count; rest % 2 === 1; rest = Math.floor(rest / 2)) root = nodeHash(subtrees.pop() as string, root)
      subtrees.push(root)
      count++
    },
    count: () => count,
    root(): string {
      return subtrees.length === 0 ? hash('sha256', '', 'hex') : subtrees.reduceRight((right, left) => nodeHash(left, right))
    },
    clear(): void {
      subtrees = []
      count = 0
    },
  }
}

/** Siblings that lead from a leaf to the root, lowest first; null where there is none on a level. */
export type MerklePath = (string | null)[]

/** The paths of the leaves at the indexes. */
export function inclusionProofs(leaves: readonly string[], indexes: readonly number[]): MerklePath[] {
  const levels = levelsOf(leaves)
  return indexes.map((index) => levels.slice(0, -1).map((level, height) => level[(index >> height) ^ 1] ?? null))
}

/** The tree's levels, leaves first. An odd node at the end of a level moves up unchanged. */
function levelsOf(leaves: readonly string[]): string[][] {
  let level = leaves.map(leafHash)
  const levels = [level]
  while (level.length > 1) {
    const next: string[] = []
    for (let index = 0; index < level.length; index += 2) {
      const [left, right] = [level[index] as string, level[index + 1]]
      next.push(right === undefined ? left : nodeHash(left, right))
    }
    level = next
    levels.push(level)
  }
  return levels
}

/** The root that a path leads to; equal to the tree's when the leaf stands at the index. */
export function rootFromProof(leaf: string, index: number, path: Readonly<MerklePath>): string {
  return path.reduce((root: string, sibling, height) => {
    if (sibling === null) return root
    return (index >> height) % 2 === 0 ? nodeHash(root, sibling) : nodeHash(sibling, root)
  }, leafHash(leaf))
}
