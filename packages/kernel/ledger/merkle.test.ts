import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMerkleRoot, inclusionProofs, rootFromProof } from './merkle.ts'

// By hand, from the words of RFC 6962, section 2.1.
const h = (...parts: (string | number)[]) => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(typeof part === 'number' ? Buffer.of(part) : Buffer.from(part, 'hex'))
  return hash.digest('hex')
}
const [a, b, c, d, e] = ['aa', 'bb01', 'cc', 'dd', 'ee'] as const
const leaf = (text: string) => h(0, Buffer.from(text).toString('hex'))
const node = (left: string, right: string) => h(1, left, right)

function rootOf(leaves: readonly string[]): string {
  const tree = createMerkleRoot()
  for (const each of leaves) tree.add(each)
  expect(tree.count()).toBe(leaves.length)
  return tree.root()
}

test('small trees are those that RFC 6962 draws', () => {
  expect(rootOf([])).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  expect(rootOf([a])).toBe(leaf(a))
  expect(rootOf([a, b])).toBe(node(leaf(a), leaf(b)))
  expect(rootOf([a, b, c])).toBe(node(node(leaf(a), leaf(b)), leaf(c)))
  expect(rootOf([a, b, c, d])).toBe(node(node(leaf(a), leaf(b)), node(leaf(c), leaf(d))))
  expect(rootOf([a, b, c, d, e])).toBe(node(node(node(leaf(a), leaf(b)), node(leaf(c), leaf(d))), leaf(e)))
})

test('paths are those that RFC 6962 draws', () => {
  const ab = node(leaf(a), leaf(b))
  const cd = node(leaf(c), leaf(d))
  expect(inclusionProofs([a], [0])).toEqual([[]])
  expect(inclusionProofs([a, b, c], [0, 2])).toEqual([
    [leaf(b), leaf(c)],
    [null, ab],
  ])
  expect(inclusionProofs([a, b, c, d, e], [1, 2, 4])).toEqual([
    [leaf(a), cd, leaf(e)],
    [leaf(d), ab, leaf(e)],
    [null, null, node(ab, cd)],
  ])
})

test('known answers of Certificate Transparency’s own test vectors', () => {
  const bytes = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
  const leaves = bytes.map((each) => Buffer.from(each, 'hex').toString())
  expect(rootOf(leaves.slice(0, 1))).toBe('6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d')
  expect(rootOf(leaves.slice(0, 3))).toBe('aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77')
  expect(rootOf(leaves)).toBe('5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328')
})

const hashes = fc.array(fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 8, maxLength: 8 }), {
  minLength: 1,
  maxLength: 70,
})

test('every leaf is proved, and no other leaf in its place, nor it in another place or tree', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(
        hashes.map(([first]) => first as string),
        { minLength: 1, maxLength: 70 },
      ),
      fc.nat(),
      fc.nat(),
      (leaves, at, shift) => {
        const index = at % leaves.length
        const root = rootOf(leaves)
        const [path = []] = inclusionProofs(leaves, [index])
        const own = leaves[index] as string
        expect(rootFromProof(own, index, path)).toBe(root)
        const elsewhere = (index + 1 + (shift % leaves.length)) % leaves.length
        if (elsewhere !== index) expect(rootFromProof(leaves[elsewhere] as string, index, path)).not.toBe(root)
        expect(rootFromProof(own, index, path)).not.toBe(rootOf([...leaves, 'ff']))
      },
    ),
  )
})

test('a cleared tree is an empty one', () => {
  const tree = createMerkleRoot()
  tree.add(a)
  tree.clear()
  tree.add(b)
  expect([tree.count(), tree.root()]).toEqual([1, leaf(b)])
})
