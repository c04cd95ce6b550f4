import { readBlobs, streamGit } from '../frame/git.ts'
import { pathText } from '../frame/pathText.ts'
import { recordsOf } from '../frame/records.ts'
import type { ScannedTree } from './tree.ts'

export interface HistoryBlob {
  oid: string
  /** Bytes. */
  size: number
  /** Where it first appeared. */
  path: string
  /** The commit that brought it in. */
  commit: string
}

/**
 * Every blob that a branch, a tag or the commit of `tree` leads to, each once, oldest commit first, with its content if `wanted`
 * says so. What git lists is never held as a whole, so memory does not grow with history.
 */
export async function* historyBlobs(
  tree: ScannedTree,
  options: { maxBytes: number; wanted(blob: HistoryBlob): boolean },
): AsyncGenerator<{ blob: HistoryBlob; content: Buffer | undefined; commits: number }, void, void> {
  const asked: { blob: HistoryBlob; commits: number }[] = []
  async function* oids(): AsyncGenerator<string> {
    for await (const met of listedBlobs(tree)) {
      if (!options.wanted(met.blob)) continue
      asked.push(met)
      yield met.blob.oid
    }
  }
  for await (const answer of readBlobs(tree.repository, oids(), { maxBytes: options.maxBytes })) {
    const next = asked.shift() // answers come in the order asked
    if (next) yield { ...next, content: answer.kind === 'loaded' ? answer.content : undefined }
  }
}

async function* listedBlobs(tree: ScannedTree): AsyncGenerator<{ blob: HistoryBlob; commits: number }> {
  const { repository, commit: head } = tree
  // In the order of commits and oldest first, each commit is followed by the objects that it is the first to have.
  const order = ['--objects', '--in-commit-order', '--date-order', '--reverse', '--missing=allow-any']
  const objects = streamGit(repository, ['rev-list', ...order, '--all', head ?? 'HEAD'])
  const format = '--batch-check=%(objecttype) %(objectsize) %(objectname) %(rest)'
  const typed = streamGit(repository, ['cat-file', '--buffer', format], { input: objects })
  let commit = ''
  let commits = 0
  for await (const lines of recordsOf(typed, 10)) {
    for (const line of lines) {
      const kind = line[0]
      if (kind === COMMIT) {
        commit = line.toString('latin1').split(' ', 3)[2] ?? ''
        commits++
      } else if (kind === BLOB && line.toString('latin1', 0, 5) === 'blob ') {
        const sizeEnd = line.indexOf(32, 5)
        const oidEnd = line.indexOf(32, sizeEnd + 1)
        const size = Number(line.toString('latin1', 5, sizeEnd))
        const oid = line.toString('latin1', sizeEnd + 1, oidEnd)
        yield { blob: { oid, size, path: pathText(line.subarray(oidEnd + 1)), commit }, commits }
      }
    }
  }
}

const COMMIT = 'c'.charCodeAt(0)
const BLOB = 'b'.charCodeAt(0)
