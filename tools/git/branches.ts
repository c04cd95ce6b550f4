import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { git, openRepository, type Repository, resolveRevision } from '../frame/git.ts'
import { keyDigest } from '../frame/keyDigest.ts'
import { pathText } from '../frame/pathText.ts'
import { isoTime } from './history.ts'
import { checkedOutBranch } from './inspect.ts'
import { branchRef, findBranch, PLATFORM_IDENTITY, requireNotCheckedOut, updateBranch } from './refs.ts'
import { BranchName, RepositoryPath, Revision, repositoryFacts } from './target.ts'

const Branch = z.object({
  name: z.string().describe('Without refs/heads/'),
  oid: z.string().describe('Id of its commit'),
  committedAt: z.string().describe('When that was committed, ISO 8601'),
  author: z.string().describe('Who wrote it'),
  upstream: z.string().optional().describe('The branch it follows'),
  current: z.boolean().describe('It is checked out'),
  merged: z.boolean().describe('All of its commits are in `base`'),
  stale: z.boolean().describe('No commit for `staleDays` or more'),
})

export const list = operation({
  name: 'git.branches.list',
  summary: 'Local branches, with what is merged and what is stale',
  input: z.object({
    repository: RepositoryPath,
    base: Revision.default('HEAD').describe('Branch that others are merged into'),
    staleDays: z.number().int().min(1).default(90).describe('Days without a commit after which a branch is stale'),
    limit: z.number().int().min(1).max(2_000).default(500).describe('Give the first so many'),
  }),
  output: z.object({
    branches: z.array(Branch).describe('Last committed to first'),
    total: z.number().int().describe('Local branches there are'),
  }),
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: (input) => repositoryFacts(input),
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    if (repository.head === undefined && input.base === 'HEAD') return { branches: [], total: 0 }
    const base = await resolveRevision(repository, input.base)
    const merged = new Set((await refRecords(repository, [`--merged=${base}`])).map(({ name }) => name))
    const staleBefore = Date.now() / 1000 - input.staleDays * 86_400
    const all = await refRecords(repository, ['--sort=-committerdate'])
    const branches = all.slice(0, input.limit).map(({ seconds, ...branch }) => ({
      ...branch,
      committedAt: isoTime(seconds),
      merged: merged.has(branch.name),
      stale: seconds <= staleBefore,
    }))
    return { branches, total: all.length }
  },
})

const Created = z.object({
  name: z.string().describe('The branch'),
  oid: z.string().describe('Id of the commit it begins at'),
})

export const create = operation({
  name: 'git.branches.create',
  summary: 'Make a branch',
  input: z.object({
    repository: RepositoryPath,
    branch: BranchName.describe('The name it shall have'),
    from: Revision.default('HEAD').describe('Branch, tag or commit to begin at'),
  }),
  output: Created,
  effect: 'write',
  capability: 'tool.git.write',
  idempotency: {
    kind: 'marker',
    find: async (input, context) => findCreated(await openRepository(input.repository, context.signal), input.branch, context.key),
  },
  reversedBy: 'git.branches.delete',
  resource: (input) => repositoryFacts(input),
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const oid = await resolveRevision(repository, input.from)
    await updateBranch(repository, { branch: input.branch, to: oid, from: undefined, note: keyDigest(context.key) })
    return { name: input.branch, oid }
  },
})

const Deleted = z.object({
  name: z.string().describe('The branch'),
  oid: z.string().optional().describe('Id of the commit it was at; absent when a crash lost it'),
})

export const remove = operation({
  name: 'git.branches.delete',
  summary: 'Delete a branch',
  description: 'Refused when the branch is checked out, or has commits that would be lost and `force` is not set.',
  input: z.object({
    repository: RepositoryPath,
    branch: BranchName,
    force: z.boolean().default(false).describe('Delete it even when commits of it are on no other branch or tag'),
  }),
  output: Deleted,
  effect: 'destructive',
  capability: 'tool.git.destroy',
  idempotency: {
    kind: 'marker',
    async find(input, context) {
      const repository = await openRepository(input.repository, context.signal)
      return (await findBranch(repository, input.branch)) === undefined ? { name: input.branch } : undefined
    },
  },
  reversedBy: 'git.branches.create',
  resource: (input) => repositoryFacts(input),
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const oid = await findBranch(repository, input.branch)
    if (oid === undefined)
      throw new SomaError('not_found', `There is no branch "${input.branch}". git.branches.list names those there are.`)
    await requireNotCheckedOut(repository, input.branch)
    if (!input.force) await requireNothingLost(repository, input.branch)
    await updateBranch(repository, { branch: input.branch, to: undefined, from: oid, note: keyDigest(context.key) })
    return { name: input.branch, oid }
  },
})

async function refRecords(repository: Repository, args: string[]) {
  const fields = ['%(refname)', '%(objectname)', '%(committerdate:unix)', '%(upstream:short)', '%(authorname)']
  const { stdout } = await git(repository, ['for-each-ref', `--format=${fields.join('%00')}`, ...args, 'refs/heads'])
  const current = await checkedOutBranch(repository)
  return stdout
    .toString('latin1')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [ref = '', oid = '', seconds = '', upstream = '', author = ''] = line
        .split('\0')
        .map((field) => pathText(Buffer.from(field, 'latin1')))
      const name = ref.slice('refs/heads/'.length)
      return { name, oid, seconds: Number(seconds), author, current: name === current, ...(upstream !== '' && { upstream }) }
    })
}

/** The reflog of a branch begins with the note that made it. */
async function findCreated(repository: Repository, branch: string, key: string): Promise<z.infer<typeof Created> | undefined> {
  if ((await findBranch(repository, branch)) === undefined) return undefined
  const { stdout } = await git(repository, ['log', '--walk-reflogs', '--format=%H %gs', branchRef(branch), '--'])
  const line = stdout
    .toString('utf8')
    .split('\n')
    .find((entry) => entry.endsWith(keyDigest(key)))
  return line === undefined ? undefined : { name: branch, oid: line.slice(0, line.indexOf(' ')) }
}

async function requireNothingLost(repository: Repository, branch: string): Promise<void> {
  const others = ['--not', `--exclude=${branchRef(branch)}`, '--all']
  const { stdout } = await git(repository, ['rev-list', '--count', branchRef(branch), ...others], { env: PLATFORM_IDENTITY })
  const lost = Number(stdout.toString('latin1'))
  if (lost > 0) {
    const text = `Deleting "${branch}" would lose ${lost} ${lost === 1 ? 'commit' : 'commits'} that no other branch or tag has. Merge it, or set "force".`
    throw new SomaError('conflict', text, { branch, lost })
  }
}
