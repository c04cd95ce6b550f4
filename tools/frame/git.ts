import { readdir, realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { bytesOf } from './bytesOf.ts'
import { hardenedGit } from './hardenedGit.ts'
import { pathText } from './pathText.ts'
import { type ProcessOptions, type ProcessResult, processFailed, runProcess, streamProcess } from './process.ts'
import { recordsOf } from './records.ts'

export interface Repository {
  /** The folder that was asked for, with symbolic links resolved: the top of the work tree, or the bare repository itself. */
  root: string
  gitDirectory: string
  bare: boolean
  shallow: boolean
  /** The commit that HEAD leads to; undefined in a repository without commits. */
  head?: string
  /** Ends every git process that works on the repository. */
  signal?: AbortSignal
}

export interface GitOptions extends Omit<ProcessOptions, 'cwd' | 'signal'> {
  /** Exit codes that are answers. Default: 0. */
  accept?: number[]
}

/**
 * Opens the repository whose top folder `path` is. Folders above are not searched: a folder inside a repository would else give
 * rights on all of it.
 * @throws not_a_repository, tool_failed when the folder can't be read, tool_unavailable without git
 */
export async function openRepository(path: string, signal?: AbortSignal): Promise<Repository> {
  const root = await readableFolder(path)
  const answer = await revParse(root, signal, ['--is-bare-repository', '--is-shallow-repository', '--absolute-git-dir'])
  if (answer.exitCode !== 0) throw notARepository(path, answer.stderr)
  const [bare, shallow, gitDirectory = ''] = answer.stdout.toString('utf8').trimEnd().split('\n')
  const repository: Repository = { root, gitDirectory, bare: bare === 'true', shallow: shallow === 'true', signal }

  const top = repository.bare ? gitDirectory : await workTreeOf(root, signal)
  if (top === undefined) throw notARepository(path, 'It lies inside a git directory; give the folder that holds it.')
  if ((await realpath(top)) !== root) throw notARepository(path, `It belongs to the repository at "${top}"; give that path to use it.`)

  const head = await revParse(root, signal, ['--verify', '--quiet', 'HEAD^{commit}'])
  if (head.exitCode === 0) repository.head = head.stdout.toString('latin1').trim()
  return repository
}

/**
 * Runs a git command on the repository.
 * @throws tool_failed with what git said when it exits with another code than `accept`
 */
export async function git(repository: Repository, args: string[], options: GitOptions = {}): Promise<ProcessResult> {
  const { accept = [0], env, ...rest } = options
  const hardened = hardenedGit(repository.root, args, env)
  const result = await runProcess('git', hardened.args, { ...rest, env: hardened.env, signal: repository.signal })
  if (!accept.includes(result.exitCode)) throw processFailed('git', args, result)
  return result
}

/** Standard output of a git command as it comes. Ends git when the consumer stops. */
export function streamGit(
  repository: Repository,
  args: string[],
  options: Omit<GitOptions, 'accept' | 'maxBytes'> = {},
): AsyncIterable<Buffer> {
  const hardened = hardenedGit(repository.root, args, options.env)
  return streamProcess('git', hardened.args, { ...options, env: hardened.env, signal: repository.signal })
}

/**
 * The id of what a name stands for.
 * @param kind what it must lead to
 * @throws not_found
 */
export async function resolveRevision(repository: Repository, ref: string, kind: 'commit' | 'tree' = 'commit'): Promise<string> {
  const result = await git(repository, ['rev-parse', '--verify', '--quiet', '--end-of-options', `${ref}^{${kind}}`], {
    accept: [0, 1, 128],
  })
  if (result.exitCode === 0) return result.stdout.toString('latin1').trim()
  throw new SomaError('not_found', `"${ref}" names no ${kind} in the repository "${repository.root}".`, {
    ref,
    repository: repository.root,
  })
}

export interface TreeEntry {
  /** As text, see `pathText`. */
  path: string
  rawPath: Buffer
  /** 100644 file, 100755 executable, 120000 symbolic link, 160000 submodule. */
  mode: string
  type: 'blob' | 'commit' | 'tree'
  oid: string
  /** Bytes; undefined for a submodule, and for a blob that a partial clone does not hold. */
  size?: number
}

/** Every file of a commit, in git's order. An empty repository has none. */
export async function* listTree(repository: Repository, ref = 'HEAD'): AsyncGenerator<TreeEntry, void, void> {
  if (ref === 'HEAD' && repository.head === undefined) return
  const tree = await resolveRevision(repository, ref, 'tree')
  for await (const records of recordsOf(streamGit(repository, ['ls-tree', '-r', '-l', '-z', '--full-tree', tree]))) {
    for (const record of records) yield treeEntry(record)
  }
}

function treeEntry(record: Buffer): TreeEntry {
  const tab = record.indexOf(9)
  const [mode = '', type = '', oid = '', size = ''] = record.toString('latin1', 0, tab).split(/ +/)
  const rawPath = Buffer.from(record.subarray(tab + 1)) // a copy, so that a kept entry does not keep the whole chunk
  return {
    path: pathText(rawPath),
    rawPath,
    mode,
    type: type as TreeEntry['type'],
    oid,
    size: /^\d+$/.test(size) ? Number(size) : undefined,
  }
}

export type Blob =
  | { oid: string; kind: 'loaded'; size: number; content: Buffer }
  /** Larger than `maxBytes`; passed over, never held in memory. */
  | { oid: string; kind: 'too_large'; size: number }
  /** Not in the repository (a shallow or partial clone, a submodule's commit), or not a blob. */
  | { oid: string; kind: 'missing' }

/**
 * Contents of blobs, in the order asked for, through one `git cat-file --batch`. At the most one blob of `maxBytes` and one chunk
 * are in memory.
 * @param options.maxBytes default 1 MiB
 */
export async function* readBlobs(
  repository: Repository,
  oids: Iterable<string> | AsyncIterable<string>,
  options: { maxBytes?: number } = {},
): AsyncGenerator<Blob, void, void> {
  const maxBytes = options.maxBytes ?? 1024 * 1024
  const answers = bytesOf(streamGit(repository, ['cat-file', '--batch', '--buffer'], { input: requests(oids) }))
  try {
    for (let header = await answers.line(); header !== undefined; header = await answers.line()) {
      const [oid = '', type, sizeText] = header.split(' ')
      const size = Number(sizeText)
      if (type === 'missing') yield { oid, kind: 'missing' }
      else if (type !== 'blob') {
        await answers.skip(size + 1)
        yield { oid, kind: 'missing' }
      } else if (size > maxBytes) {
        await answers.skip(size + 1)
        yield { oid, kind: 'too_large', size }
      } else {
        const content = await answers.take(size)
        await answers.skip(1)
        yield { oid, kind: 'loaded', size, content }
      }
    }
  } finally {
    await answers.close()
  }
}

async function* requests(oids: Iterable<string> | AsyncIterable<string>): AsyncGenerator<string> {
  for await (const oid of oids) {
    if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(oid)) throw new SomaError('invalid_input', `"${oid}" is not a git object id.`, { oid })
    yield `${oid}\n`
  }
}

async function readableFolder(path: string): Promise<string> {
  try {
    const root = await realpath(resolve(path))
    await readdir(root)
    return root
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'ENOENT') throw notARepository(path, 'No such folder exists.', cause)
    if (code === 'ENOTDIR') throw notARepository(path, 'It is a file, not a folder.', cause)
    const text = `The folder "${path}" can not be read (${code}). Give the user that runs the platform the right to read it.`
    throw new SomaError('tool_failed', text, { path, reason: code }, { cause })
  }
}

async function workTreeOf(root: string, signal?: AbortSignal): Promise<string | undefined> {
  const result = await revParse(root, signal, ['--show-toplevel'])
  return result.exitCode === 0 ? result.stdout.toString('utf8').replace(/\n$/, '') : undefined
}

function revParse(root: string, signal: AbortSignal | undefined, args: string[]): Promise<ProcessResult> {
  const hardened = hardenedGit(root, ['rev-parse', ...args])
  return runProcess('git', hardened.args, { env: hardened.env, signal })
}

function notARepository(path: string, why: string, cause?: unknown): SomaError {
  const said = why.trim().replace(/^fatal: /, '')
  return new SomaError('not_a_repository', `"${path}" is not the top folder of a git repository. ${said}`, { path }, { cause })
}
