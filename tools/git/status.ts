import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { openRepository, streamGit } from '../frame/git.ts'
import { pathText } from '../frame/pathText.ts'
import { recordsOf } from '../frame/records.ts'
import { RepositoryPath, repositoryFacts } from './target.ts'
import { requireWorkTree, withoutFilters } from './workTree.ts'

const State = z.enum(['unchanged', 'modified', 'type_changed', 'added', 'deleted', 'renamed', 'copied', 'unmerged', 'untracked'])
type State = z.infer<typeof State>

const Change = z.object({
  path: z.string().describe('Path in the repository'),
  staged: State.describe('The index against HEAD'),
  unstaged: State.describe('The work tree against the index'),
})
type Change = z.infer<typeof Change>

export const status = operation({
  name: 'git.status',
  summary: 'What differs between HEAD, the index and the work tree',
  description: 'Changes inside submodules are not looked at.',
  input: z.object({
    repository: RepositoryPath,
    limit: z.number().int().min(1).max(10_000).default(1_000).describe('Give the first so many changes'),
  }),
  output: z.object({
    branch: z.string().optional().describe('The branch that is checked out; absent when HEAD is detached'),
    upstream: z.string().optional().describe('The branch it follows'),
    ahead: z.number().int().optional().describe('Commits that the upstream lacks'),
    behind: z.number().int().optional().describe('Commits that only the upstream has'),
    clean: z.boolean().describe('Nothing differs and nothing is untracked'),
    changes: z.array(Change).describe('The first `limit` files that differ'),
    total: z.number().int().describe('Files that differ; an untracked folder counts as one'),
  }),
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    requireWorkTree(repository)
    const args = ['status', '--porcelain=v2', '--branch', '-z', '--untracked-files=normal', '--ignore-submodules=dirty', '--no-renames']
    const output = recordsOf(streamGit(repository, args, { env: await withoutFilters(repository) }))
    const headers = new Map<string, string>()
    const changes: Change[] = []
    let total = 0
    for await (const records of output) {
      for (const record of records) {
        const [, name = '', value = ''] = /^# (\S+) (.*)$/.exec(record.toString('utf8')) ?? []
        if (name !== '') headers.set(name, value)
        else {
          total += 1
          if (changes.length < input.limit) changes.push(changeOf(record))
        }
      }
    }
    return { ...branchOf(headers), clean: total === 0, changes, total }
  },
})

function branchOf(headers: Map<string, string>) {
  const branch = headers.get('branch.head')
  const [, ahead, behind] = /^\+(\d+) -(\d+)$/.exec(headers.get('branch.ab') ?? '') ?? []
  return {
    ...(branch !== '(detached)' && { branch }),
    upstream: headers.get('branch.upstream'),
    ...(ahead !== undefined && { ahead: Number(ahead), behind: Number(behind) }),
  }
}

const STATES: Record<string, State> = {
  '.': 'unchanged',
  M: 'modified',
  T: 'type_changed',
  A: 'added',
  D: 'deleted',
  R: 'renamed',
  C: 'copied',
  U: 'unmerged',
}

/** Porcelain v2: `1 XY` has 7 fields before the path, `u XY` has 9, `? ` none. https://git-scm.com/docs/git-status#_porcelain_format_version_2 */
function changeOf(record: Buffer): Change {
  const text = record.toString('latin1')
  if (text.startsWith('? ')) return { path: pathText(record.subarray(2)), staged: 'untracked', unstaged: 'untracked' }
  const fields = text.split(' ', text.startsWith('u') ? 10 : 8)
  const path = pathText(record.subarray(fields.join(' ').length + 1))
  const [staged = '.', unstaged = '.'] = fields[1] ?? ''
  return { path, staged: STATES[staged] ?? 'modified', unstaged: STATES[unstaged] ?? 'modified' }
}
