import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { git, listTree, openRepository, type Repository } from '../frame/git.ts'
import { countCommits, isoTime } from './history.ts'
import { Person, RepositoryPath, repositoryFacts } from './target.ts'

const MAX_SUBMODULES = 200

const Edge = z.object({
  oid: z.string().describe('Id of the commit'),
  at: z.string().describe('When it was committed, ISO 8601'),
  subject: z.string().describe('First line of its message'),
  author: Person.describe('Who wrote it'),
})

const Inspection = z.object({
  path: z.string().describe('Absolute path, symbolic links resolved'),
  head: z.string().optional().describe('Id of the commit that HEAD leads to; absent in an empty repository'),
  branch: z.string().optional().describe('The branch that is checked out; absent when HEAD is detached'),
  bare: z.boolean().describe('Has no work tree'),
  shallow: z.boolean().describe('Holds only the end of the history'),
  empty: z.boolean().describe('Has no commits'),
  commits: z.number().int().describe('Commits that HEAD leads to'),
  branches: z.number().int().describe('Local branches'),
  tags: z.number().int().describe('Tags'),
  files: z.number().int().describe('Files in HEAD'),
  bytes: z.number().int().describe('Bytes of all files in HEAD'),
  largest: z
    .object({ path: z.string().describe('Path in the repository'), size: z.number().int().describe('Bytes') })
    .optional()
    .describe('The largest file in HEAD'),
  first: Edge.optional().describe('The oldest commit without parents that HEAD leads to; in a shallow clone, where it was cut off'),
  last: Edge.optional().describe('The commit that HEAD leads to'),
  submodules: z
    .array(
      z.object({
        path: z.string().describe('Path in the repository'),
        commit: z.string().describe('Id of the commit it is held at'),
        url: z.string().optional().describe('Where .gitmodules says it comes from'),
      }),
    )
    .describe(`Submodules in HEAD; ${MAX_SUBMODULES} at most`),
})

export const inspect = operation({
  name: 'git.inspect',
  summary: 'What a repository is: its head, its history in numbers, its submodules',
  input: z.object({ repository: RepositoryPath }),
  output: Inspection,
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  timeoutSeconds: 120,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const { root, head, bare, shallow } = repository
    const [branch, commits, branches, tags, tree, first, last] = await Promise.all([
      checkedOutBranch(repository),
      countCommits(repository),
      countRefs(repository, 'refs/heads'),
      countRefs(repository, 'refs/tags'),
      measureTree(repository),
      edgeOfHistory(repository, ['--max-parents=0', '--reverse', '--date-order']),
      edgeOfHistory(repository, ['--max-count=1']),
    ])
    return { path: root, head, branch, bare, shallow, empty: head === undefined, commits, branches, tags, ...tree, first, last }
  },
})

/** The branch that HEAD names, even before its first commit. */
export async function checkedOutBranch(repository: Repository): Promise<string | undefined> {
  const result = await git(repository, ['symbolic-ref', '--quiet', 'HEAD'], { accept: [0, 1] })
  return result.exitCode === 0
    ? result.stdout
        .toString('utf8')
        .trim()
        .replace(/^refs\/heads\//, '')
    : undefined
}

async function countRefs(repository: Repository, under: string): Promise<number> {
  const result = await git(repository, ['for-each-ref', '--format=.', under])
  return result.stdout.length / 2
}

async function measureTree(repository: Repository) {
  const urls = await submoduleUrls(repository)
  const submodules: { path: string; commit: string; url?: string }[] = []
  let files = 0
  let bytes = 0
  let largest: { path: string; size: number } | undefined
  for await (const { path, type, oid, size = 0 } of listTree(repository)) {
    if (type === 'commit') {
      if (submodules.length < MAX_SUBMODULES) submodules.push({ path, commit: oid, url: urls.get(path) })
      continue
    }
    files += 1
    bytes += size
    if (size > (largest?.size ?? -1)) largest = { path, size }
  }
  return { files, bytes, largest, submodules }
}

/** Path of a submodule to its URL, as HEAD's .gitmodules has them. */
async function submoduleUrls(repository: Repository): Promise<Map<string, string>> {
  if (repository.head === undefined) return new Map()
  const args = ['config', '--blob', `${repository.head}:.gitmodules`, '-z', '--get-regexp', '^submodule\\..*\\.(path|url)$']
  const result = await git(repository, args, { accept: [0, 1, 128] }) // 1: no match; 128: no such file, or not one git can read
  const paths = new Map<string, string>()
  const urls = new Map<string, string>()
  for (const record of result.exitCode === 0 ? result.stdout.toString('utf8').split('\0') : []) {
    const [key = '', value = ''] = record.split(/\n(.*)/s)
    const name = key.replace(/\.(path|url)$/, '')
    ;(key.endsWith('.path') ? paths : urls).set(name, value)
  }
  return new Map([...paths].map(([name, path]) => [path, urls.get(name) ?? '']))
}

async function edgeOfHistory(repository: Repository, args: string[]): Promise<z.infer<typeof Edge> | undefined> {
  if (repository.head === undefined) return undefined
  const found = await git(repository, ['log', ...args, '-z', '--format=%H%x1f%ct%x1f%aE%x1f%aN%x1f%s', repository.head, '--'])
  const [record = ''] = found.stdout.toString('utf8').split('\0')
  const [oid = '', at = '', email = '', name = '', subject = ''] = record.split('\x1f')
  return { oid, at: isoTime(Number(at)), subject, author: { name, email } }
}
