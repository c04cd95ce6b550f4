import { SomaError } from '@soma/contracts/errors'
import { git, type Repository } from '../frame/git.ts'

/** Who the platform is in commits and reflogs when nobody else is named. `.invalid` can never be anyone's address (RFC 2606). */
export const PLATFORM_IDENTITY = {
  GIT_AUTHOR_NAME: 'SomaAgent',
  GIT_AUTHOR_EMAIL: 'agent@soma.invalid',
  GIT_COMMITTER_NAME: 'SomaAgent',
  GIT_COMMITTER_EMAIL: 'agent@soma.invalid',
}

export function branchRef(branch: string): string {
  return `refs/heads/${branch}`
}

/** The commit a branch is at; undefined when there is no such branch. */
export async function findBranch(repository: Repository, branch: string): Promise<string | undefined> {
  await requireBranchName(repository, branch)
  const result = await git(repository, ['rev-parse', '--verify', '--quiet', '--end-of-options', branchRef(branch)], { accept: [0, 1, 128] })
  return result.exitCode === 0 ? result.stdout.toString('latin1').trim() : undefined
}

/**
 * Moves, makes (`from` undefined) or deletes (`to` undefined) a branch, if it still is where it was.
 * @param change.note goes into the reflog
 * @throws conflict when it is not
 */
export async function updateBranch(
  repository: Repository,
  change: { branch: string; from: string | undefined; to: string | undefined; note: string },
): Promise<void> {
  await requireBranchName(repository, change.branch)
  const ref = branchRef(change.branch)
  const zero = '0'.repeat((change.from ?? change.to ?? '').length)
  const target = change.to === undefined ? ['-d', ref] : ['--create-reflog', ref, change.to]
  const args = ['update-ref', '-m', change.note, ...target, change.from ?? zero]
  const result = await git(repository, args, { env: PLATFORM_IDENTITY, accept: [0, 1, 128] })
  if (result.exitCode === 0) return
  const now = await findBranch(repository, change.branch)
  const text = `The branch "${change.branch}" could not be changed: it is at ${now ?? 'nothing'}, not ${change.from ?? 'nothing'}. Look again and retry.`
  throw new SomaError('conflict', text, { branch: change.branch, git: result.stderr.trim().slice(-500) })
}

/**
 * A branch that some work tree has checked out must not move beneath it.
 * @throws conflict
 */
export async function requireNotCheckedOut(repository: Repository, branch: string): Promise<void> {
  const { stdout } = await git(repository, ['worktree', 'list', '--porcelain', '-z'])
  const trees = stdout.toString('utf8').split('\0\0')
  const tree = trees.find((lines) => lines.split('\0').includes(`branch ${branchRef(branch)}`))
  if (tree === undefined) return
  const where = tree.split('\0', 1)[0]?.replace(/^worktree /, '')
  throw new SomaError('conflict', `The branch "${branch}" is checked out in "${where}". Choose another branch.`, {
    branch,
    worktree: where,
  })
}

async function requireBranchName(repository: Repository, branch: string): Promise<void> {
  const result = await git(repository, ['check-ref-format', branchRef(branch)], { accept: [0, 1, 129] })
  if (result.exitCode === 0 && !branch.startsWith('-') && branch !== 'HEAD') return
  throw new SomaError('invalid_input', `"${branch}" can not be the name of a branch. Use letters, digits, "-", "_" and "/".`, { branch })
}
