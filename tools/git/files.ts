import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { Encoding, encodeContent } from '../frame/content.ts'
import { listTree, openRepository, type Repository, streamGit, type TreeEntry } from '../frame/git.ts'
import { pathBytes } from '../frame/pathText.ts'
import { RepositoryPath, Revision, repositoryFacts } from './target.ts'

const Kind = z.enum(['file', 'executable', 'symlink', 'submodule'])

const TrackedFile = z.object({
  path: z.string().describe('Path in the repository. A byte that is not UTF-8 is written \\xHH, a backslash \\\\'),
  kind: Kind.describe('What it is'),
  oid: z.string().describe('Id of its content'),
  size: z.number().int().optional().describe('Bytes; absent for a submodule, and for content a partial clone does not hold'),
})

export const files = operation({
  name: 'git.files',
  summary: 'The files of a commit, a page at a time',
  input: z.object({
    repository: RepositoryPath,
    ref: Revision.default('HEAD').describe('Branch, tag or commit'),
    under: z.string().min(1).optional().describe('Only files in this folder'),
    limit: z.number().int().min(1).max(10_000).default(1_000).describe('Files in a page'),
    offset: z.number().int().min(0).default(0).describe('Leave out so many files first'),
  }),
  output: z.object({
    files: z.array(TrackedFile).describe("In git's order"),
    total: z.number().int().describe('Files there are, on all pages'),
  }),
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const prefix = input.under === undefined ? Buffer.alloc(0) : pathBytes(`${input.under.replace(/\/+$/, '')}/`)
    const page: z.infer<typeof TrackedFile>[] = []
    let total = 0
    for await (const entry of listTree(repository, input.ref)) {
      if (!entry.rawPath.subarray(0, prefix.length).equals(prefix)) continue
      if (total >= input.offset && page.length < input.limit) page.push(trackedFile(entry))
      total += 1
    }
    return { files: page, total }
  },
})

export const show = operation({
  name: 'git.show',
  summary: 'The content of a file at a commit',
  input: z.object({
    repository: RepositoryPath,
    ref: Revision.default('HEAD').describe('Branch, tag or commit'),
    path: z.string().min(1).describe('Path in the repository, as git.files gives it'),
    maxBytes: z
      .number()
      .int()
      .min(1)
      .max(16 * 1024 * 1024)
      .default(1024 * 1024)
      .describe('Give the first so many bytes at most'),
  }),
  output: z.object({
    path: z.string().describe('As asked for'),
    kind: Kind.describe('What it is; the content of a symlink is where it leads'),
    oid: z.string().describe('Id of its content'),
    size: z.number().int().describe('Bytes it has'),
    content: z.string().describe('The content, or its beginning'),
    encoding: Encoding,
    truncated: z.boolean().describe('There is more than `maxBytes`'),
  }),
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const entry = await findFile(repository, input.ref, input.path)
    if (entry.type !== 'blob') throw new SomaError('invalid_input', `"${input.path}" is a submodule; it has no content of its own.`)
    const beginning = await readBeginning(repository, entry.oid, input.maxBytes)
    const size = entry.size ?? beginning.length
    const truncated = size > beginning.length
    return { path: input.path, kind: trackedFile(entry).kind, oid: entry.oid, size, ...encodeContent(beginning, truncated), truncated }
  },
})

function trackedFile({ path, mode, oid, size }: TreeEntry): z.infer<typeof TrackedFile> {
  const kinds: Record<string, z.infer<typeof Kind>> = { '100755': 'executable', '120000': 'symlink', '160000': 'submodule' }
  return { path, kind: kinds[mode] ?? 'file', oid, size }
}

/** Looked for in the listing, because an argument of a process can not hold a name that is not UTF-8. */
async function findFile(repository: Repository, ref: string, path: string): Promise<TreeEntry> {
  const wanted = pathBytes(path)
  for await (const entry of listTree(repository, ref)) if (entry.rawPath.equals(wanted)) return entry
  throw new SomaError('not_found', `The repository has no file "${path}" at ${ref}. git.files lists what there is.`, { path, ref })
}

async function readBeginning(repository: Repository, oid: string, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of streamGit(repository, ['cat-file', 'blob', oid])) {
    chunks.push(chunk)
    size += chunk.length
    if (size >= maxBytes) break
  }
  return Buffer.concat(chunks).subarray(0, maxBytes)
}
