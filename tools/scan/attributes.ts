import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { git } from '../frame/git.ts'
import { baseName, contentsOf, type ScannedTree } from './tree.ts'

const NAMES = ['linguist-language', 'linguist-vendored', 'linguist-generated', 'linguist-documentation'] as const
const MAX_BYTES = 256 * 1024

/** What `.gitattributes` says for linguist: attribute → value (`set`, `unset` or text). */
export type LinguistAttributes = Partial<Record<(typeof NAMES)[number], string>>

/**
 * Linguist's attributes by path, for the paths that have any. Git itself decides: it reads the commit into an index of our own in
 * a temporary folder, so neither the repository nor its work tree is touched.
 */
export async function linguistAttributes(tree: ScannedTree): Promise<Map<string, LinguistAttributes>> {
  const attributes = new Map<string, LinguistAttributes>()
  if (tree.commit === null || !(await mentionsLinguist(tree))) return attributes

  const folder = await mkdtemp(join(tmpdir(), 'scan-index-'))
  try {
    const env = { GIT_INDEX_FILE: join(folder, 'index') }
    await git(tree.repository, ['read-tree', tree.commit], { env })
    const input = Buffer.concat(tree.files.flatMap((file) => [file.rawPath, Buffer.of(0)]))
    const args = ['check-attr', '--cached', '-z', '--stdin', ...NAMES]
    const { stdout } = await git(tree.repository, args, { env, input, maxBytes: 512 * 1024 * 1024 })
    readAttributes(stdout, tree, attributes)
    return attributes
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function mentionsLinguist(tree: ScannedTree): Promise<boolean> {
  const files = tree.files.filter((file) => baseName(file.path) === '.gitattributes')
  for await (const { blob } of contentsOf(tree, files, MAX_BYTES)) {
    if (blob.kind === 'loaded' && blob.content.includes('linguist-')) return true
  }
  return false
}

/** Records are `path NUL attribute NUL value NUL`, four for each path, in the order of the paths that were given. */
function readAttributes(output: Buffer, tree: ScannedTree, attributes: Map<string, LinguistAttributes>): void {
  let from = 0
  const next = () => {
    const end = output.indexOf(0, from)
    const field = output.subarray(from, end)
    from = end + 1
    return field
  }
  for (const file of tree.files) {
    const found: LinguistAttributes = {}
    for (const name of NAMES) {
      next()
      next()
      const value = next().toString('utf8')
      if (value !== 'unspecified') found[name] = value
    }
    if (Object.keys(found).length > 0) attributes.set(file.path, found)
  }
}
