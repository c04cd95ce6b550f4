import { readdir, realpath } from 'node:fs/promises'
import { devNull } from 'node:os'
import { resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
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
 * Options that win over a repository's own configuration, which may be hostile: nothing it names is ever executed. What only an
 * argument turns off is the caller's to pass: `--no-ext-diff --no-textconv` to whatever shows a diff. Filters (`filter.*`) run
 * when git reads the work tree; see `withoutFilters`.
 */
const HARDENED = [
  'core.fsmonitor=false',
  `core.hooksPath=${devNull}`,
  'core.pager=cat',
  'core.editor=false',
  'core.askPass=',
  'core.sshCommand=false',
  'core.alternateRefsCommand=',
  `core.attributesFile=${devNull}`,
  `core.excludesFile=${devNull}`,
  'core.quotePath=false',
  'core.bigFileThreshold=16m', // larger files are streamed and never diffed as text, so memory stays bounded
  'credential.helper=',
  'diff.renames=false',
  'diff.ignoreSubmodules=none',
  'log.showSignature=false',
  'log.mailmap=true',
  'log.showRoot=true',
  'commit.gpgSign=false',
  'gc.auto=0',
  'maintenance.auto=false',
  'submodule.recurse=false',
  'color.ui=false',
  'column.ui=never',
].flatMap((setting) => ['-c', setting])

const ENVIRONMENT = {
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: devNull,
  GIT_TERMINAL_PROMPT: '0',
  GIT_PAGER: 'cat',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_NO_LAZY_FETCH: '1',
  GIT_ALLOW_PROTOCOL: 'none', // wins over protocol.*.allow in the repository's configuration
}

/** The arguments that go before the git command, and its environment, for a folder that was asked for by name. */
export function hardenedGit(folder: string, args: string[], env: Record<string, string> = {}) {
  return {
    args: ['--no-pager', '-C', folder, '-c', `safe.directory=${folder}`, ...HARDENED, ...args],
    env: { ...ENVIRONMENT, ...env },
  }
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
