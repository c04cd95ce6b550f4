import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { git, openRepository, type Repository, resolveRevision } from '../frame/git.ts'
import { isoTime } from './history.ts'
import { Person, RepositoryPath, Revision, repositoryFacts } from './target.ts'

const MAX_BODY = 4_000

const Commit = z.object({
  oid: z.string().describe('Id of the commit'),
  parents: z.array(z.string()).describe('Ids of the commits it follows; two or more for a merge'),
  author: Person.describe('Who wrote it'),
  authoredAt: z.string().describe('When it was written, ISO 8601'),
  committedAt: z.string().describe('When it was committed, ISO 8601'),
  subject: z.string().describe('First line of the message'),
  body: z.string().describe(`The rest of the message, ${MAX_BODY} characters at most`),
})

const Log = z.object({
  commits: z.array(Commit).describe('Newest first'),
  cursor: z.string().optional().describe('Give it to the next call to go on; absent on the last page'),
})

export const log = operation({
  name: 'git.log',
  summary: 'Commits, newest first, a page at a time',
  input: z.object({
    repository: RepositoryPath,
    ref: Revision.default('HEAD').describe('Branch, tag or commit to begin at'),
    path: z.string().min(1).optional().describe('Only commits that changed this file or folder'),
    since: z.iso.datetime({ offset: true }).optional().describe('Only commits from this time on'),
    until: z.iso.datetime({ offset: true }).optional().describe('Only commits up to this time'),
    limit: z.number().int().min(1).max(500).default(50).describe('Commits in a page'),
    cursor: z.string().optional().describe('Where the page before ended; use it with the same other fields'),
  }),
  output: Log,
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    if (repository.head === undefined && input.ref === 'HEAD') return { commits: [] }
    const page = await placeOf(repository, input.cursor, input.ref)
    const args = [`--skip=${page.skip}`, `--max-count=${input.limit + 1}`]
    if (input.since) args.push(`--since=${input.since}`)
    if (input.until) args.push(`--until=${input.until}`)
    const commits = await readCommits(repository, [...args, page.start, '--', ...(input.path === undefined ? [] : [input.path])])
    const more = commits.length > input.limit
    return { commits: commits.slice(0, input.limit), ...(more && { cursor: `${page.start}:${page.skip + input.limit}` }) }
  },
})

/** Pages count from a commit, not from a branch, so that new commits do not shift them. */
async function placeOf(repository: Repository, cursor: string | undefined, ref: string): Promise<{ start: string; skip: number }> {
  if (cursor === undefined) return { start: await resolveRevision(repository, ref), skip: 0 }
  const [, start = '', skip = ''] = /^([0-9a-f]{40,64}):(\d{1,9})$/.exec(cursor) ?? []
  if (start === '') throw new SomaError('invalid_input', `The cursor "${cursor}" is not one that git.log gave.`, { cursor })
  return { start: await resolveRevision(repository, start), skip: Number(skip) }
}

async function readCommits(repository: Repository, args: string[]): Promise<z.infer<typeof Commit>[]> {
  const format = '--format=%H%x1f%P%x1f%at%x1f%ct%x1f%aE%x1f%aN%x1f%s%x1f%b'
  const { stdout } = await git(repository, ['log', '-z', '--no-ext-diff', '--no-textconv', format, ...args], {
    maxBytes: 256 * 1024 * 1024,
  })
  return stdout
    .toString('utf8')
    .split('\0')
    .filter((record) => record !== '')
    .map((record) => {
      const [oid = '', parents = '', authoredAt = '', committedAt = '', email = '', name = '', subject = '', ...body] = record.split('\x1f')
      return {
        oid,
        parents: parents.split(' ').filter((parent) => parent !== ''),
        author: { name, email },
        authoredAt: isoTime(Number(authoredAt)),
        committedAt: isoTime(Number(committedAt)),
        subject: subject.slice(0, MAX_BODY),
        body: body.join('\x1f').trim().slice(0, MAX_BODY),
      }
    })
}
