import { setImmediate as nextTurn } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import { type Blob, listTree, openRepository, type Repository, readBlobs, resolveRevision, type TreeEntry } from '../frame/git.ts'
import { compareText } from './finding.ts'

const TURN = 8

/** The files of one commit, as every scan reads them. */
export interface ScannedTree {
  repository: Repository
  /** null in a repository without commits. */
  commit: string | null
  /** Regular files by path. */
  files: TreeEntry[]
  symlinks: TreeEntry[]
  submodules: TreeEntry[]
}

/** @throws not_a_repository, not_found when `ref` names no commit, invalid_input when the path is not absolute */
export async function openTree(input: { repository: string; ref: string }, signal: AbortSignal): Promise<ScannedTree> {
  if (!/^([/\\]|[A-Za-z]:[/\\])/.test(input.repository)) {
    throw new SomaError('invalid_input', `"${input.repository}" is not an absolute path. Give the repository's full path.`)
  }
  const repository = await openRepository(input.repository, signal)
  const tree: ScannedTree = { repository, commit: null, files: [], symlinks: [], submodules: [] }
  if (input.ref === 'HEAD' && repository.head === undefined) return tree
  tree.commit = await resolveRevision(repository, input.ref)
  for await (const entry of listTree(repository, tree.commit)) {
    if (entry.type === 'commit') tree.submodules.push(entry)
    else if (entry.mode === '120000') tree.symlinks.push(entry)
    else tree.files.push(entry)
  }
  tree.files.sort((a, b) => compareText(a.path, b.path))
  return tree
}

/**
 * Each of the files with its content: first those too large, which are not read at all, then the rest in their order. One content
 * is in memory at a time.
 */
export async function* contentsOf(
  tree: ScannedTree,
  files: TreeEntry[],
  maxBytes: number,
): AsyncGenerator<{ file: TreeEntry; blob: Blob }, void, void> {
  const readable: TreeEntry[] = []
  for (const file of files) {
    if (file.size === undefined || file.size <= maxBytes) readable.push(file)
    else yield { file, blob: { oid: file.oid, kind: 'too_large', size: file.size } }
  }
  if (readable.length === 0) return
  const oids = readable.map((file) => file.oid)
  let index = 0
  for await (const blob of readBlobs(tree.repository, oids, { maxBytes })) {
    // Contents that git has already sent come without a pause: let the process do its other work in between.
    if (index % TURN === 0) await nextTurn()
    const file = readable[index++]
    if (file) yield { file, blob }
  }
}

/** Git's own rule: a NUL byte among the first 8,000. */
export function isBinary(content: Buffer): boolean {
  return content.subarray(0, 8_000).includes(0)
}

export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** Folder of a path without a slash at its end; empty for the top. */
export function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}
