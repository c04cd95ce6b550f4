import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { decodeContent, Encoding } from '../frame/content.ts'
import { git, openRepository, type Repository, resolveRevision } from '../frame/git.ts'
import { keyDigest } from '../frame/keyDigest.ts'
import { pathBytes } from '../frame/pathText.ts'
import { branchRef, findBranch, PLATFORM_IDENTITY, requireNotCheckedOut, updateBranch } from './refs.ts'
import { BranchName, Person, RepositoryPath, Revision, repositoryFacts } from './target.ts'

/** A commit that the platform makes ends with it. */
const TRAILER = 'Soma-Key'

const Path = z
  .string()
  .min(1)
  .refine((path) => !path.includes('\0'), 'A path has no NUL.')
  .describe('Path in the repository')

const FileChange = z.union([
  z.strictObject({
    path: Path,
    content: z
      .string()
      .max(16 * 1024 * 1024)
      .describe('The whole new content'),
    encoding: Encoding.default('utf8'),
    executable: z.boolean().default(false).describe('May be run as a program'),
  }),
  z.strictObject({ path: Path, delete: z.literal(true).describe('Remove the file') }),
])
type FileChange = z.infer<typeof FileChange>

const Committed = z.object({
  branch: z.string().describe('The branch it is on'),
  oid: z.string().describe('Id of the commit'),
  parent: z.string().optional().describe('Id of the commit before it; absent for the first'),
})

export const commit = operation({
  name: 'git.commit',
  summary: 'Commit files on a branch that is not checked out',
  description: 'The branch is made when it does not exist. Work trees and indexes of people are never touched.',
  input: z.object({
    repository: RepositoryPath,
    branch: BranchName,
    base: Revision.default('HEAD').describe('Where the branch begins when it does not exist yet'),
    message: z.string().trim().min(1).max(20_000).describe('Message of the commit'),
    files: z.array(FileChange).min(1).max(1_000).describe('What changes'),
    author: Person.optional().describe('Who wrote it. Default: the platform'),
  }),
  output: Committed,
  effect: 'write',
  capability: 'tool.git.write',
  idempotency: {
    kind: 'marker',
    find: async (input, context) => findCommit(await openRepository(input.repository, context.signal), input.branch, context.key),
  },
  reversedBy: 'git.branches.delete',
  resource: (input) => repositoryFacts(input),
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const from = await findBranch(repository, input.branch)
    await requireNotCheckedOut(repository, input.branch)
    const parent = from ?? (await beginning(repository, input.base))
    const tree = await writeTree(repository, parent, input.files)
    const message = `${input.message}\n\n${TRAILER}: ${keyDigest(context.key)}\n`
    const oid = await writeCommit(repository, { tree, parent, message, author: input.author })
    await updateBranch(repository, { branch: input.branch, from, to: oid, note: `commit: ${keyDigest(context.key)}` })
    return { branch: input.branch, oid, ...(parent !== undefined && { parent }) }
  },
})

/** A repository without commits has nothing to begin at; the commit is then the first. */
async function beginning(repository: Repository, base: string): Promise<string | undefined> {
  return repository.head === undefined && base === 'HEAD' ? undefined : resolveRevision(repository, base)
}

/** The tree of `parent` with the files changed, made in an index of its own. */
async function writeTree(repository: Repository, parent: string | undefined, files: FileChange[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-index-'))
  try {
    const env = { GIT_INDEX_FILE: join(folder, 'index') }
    await git(repository, ['read-tree', parent ?? '--empty'], { env })
    const entries: Buffer[] = []
    for (const file of files) entries.push(await indexEntry(repository, file))
    const updated = await git(repository, ['update-index', '-z', '--index-info'], { env, input: Buffer.concat(entries), accept: [0, 128] })
    // It leaves out a path that can not be, says so, and ends well.
    if (updated.exitCode !== 0 || updated.stderr !== '')
      throw new SomaError('invalid_input', `The files do not fit into the tree: ${updated.stderr.trim()}`)
    return (await git(repository, ['write-tree'], { env })).stdout.toString('latin1').trim()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** One record for `git update-index --index-info`; mode 0 removes. */
async function indexEntry(repository: Repository, file: FileChange): Promise<Buffer> {
  const path = pathBytes(file.path)
  if ('delete' in file) return Buffer.concat([Buffer.from(`0 ${'0'.repeat(40)}\t`), path, Buffer.from([0])])
  const written = await git(repository, ['hash-object', '-w', '--no-filters', '--stdin'], { input: decodeContent(file) })
  const oid = written.stdout.toString('latin1').trim()
  return Buffer.concat([Buffer.from(`${file.executable ? '100755' : '100644'} ${oid}\t`), path, Buffer.from([0])])
}

async function writeCommit(
  repository: Repository,
  { tree, parent, message, author }: { tree: string; parent?: string; message: string; author?: z.infer<typeof Person> },
): Promise<string> {
  const env = { ...PLATFORM_IDENTITY, ...(author && { GIT_AUTHOR_NAME: author.name, GIT_AUTHOR_EMAIL: author.email }) }
  const args = ['commit-tree', '--no-gpg-sign', ...(parent === undefined ? [] : ['-p', parent]), '-F', '-', tree]
  return (await git(repository, args, { env, input: message })).stdout.toString('latin1').trim()
}

async function findCommit(repository: Repository, branch: string, key: string): Promise<z.infer<typeof Committed> | undefined> {
  if ((await findBranch(repository, branch)) === undefined) return undefined
  const wanted = ['--fixed-strings', `--grep=${TRAILER}: ${keyDigest(key)}`, '--max-count=1', '--format=%H %P']
  const { stdout } = await git(repository, ['log', ...wanted, branchRef(branch), '--'])
  const [oid = '', parent] = stdout.toString('latin1').trim().split(' ')
  return oid === '' ? undefined : { branch, oid, ...(parent && { parent }) }
}
