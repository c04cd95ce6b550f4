import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { openRepository, type Repository, resolveRevision, streamGit } from '../frame/git.ts'
import { pathText } from '../frame/pathText.ts'
import { recordsOf } from '../frame/records.ts'
import { RepositoryPath, Revision, repositoryFacts } from './target.ts'

const ChangedFile = z.object({
  path: z.string().describe('Path in the repository'),
  additions: z.number().int().optional().describe('Lines added; absent for a binary file'),
  deletions: z.number().int().optional().describe('Lines removed; absent for a binary file'),
})

export const diff = operation({
  name: 'git.diff',
  summary: 'What changed between two commits',
  description: 'A renamed file shows as one removed and one added.',
  input: z.object({
    repository: RepositoryPath,
    from: Revision.describe('Branch, tag or commit to compare from'),
    to: Revision.default('HEAD').describe('Branch, tag or commit to compare to'),
    path: z.string().min(1).optional().describe('Only this file or folder'),
    limit: z.number().int().min(1).max(10_000).default(1_000).describe('Give the first so many files'),
    maxBytes: z
      .number()
      .int()
      .min(0)
      .max(4 * 1024 * 1024)
      .default(256 * 1024)
      .describe('Give so many bytes of the patch at most'),
  }),
  output: z.object({
    files: z.array(ChangedFile).describe('The first `limit` files that changed'),
    total: z.number().int().describe('Files that changed'),
    additions: z.number().int().describe('Lines added, all files'),
    deletions: z.number().int().describe('Lines removed, all files'),
    patch: z.string().describe('As git writes it; bytes that are not UTF-8 are replaced'),
    truncated: z.boolean().describe('The patch is longer than `maxBytes`'),
  }),
  effect: 'read',
  capability: 'tool.git.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: repositoryFacts,
  async run(input, context) {
    const repository = await openRepository(input.repository, context.signal)
    const [from, to] = await Promise.all([resolveRevision(repository, input.from), resolveRevision(repository, input.to)])
    const range = [from, to, '--', ...(input.path === undefined ? [] : [input.path])]
    const [numbers, patch] = await Promise.all([changedFiles(repository, range, input.limit), readPatch(repository, range, input.maxBytes)])
    return { ...numbers, ...patch }
  },
})

// diff-tree compares trees and never looks at the work tree, so no filter of the repository can run.
const COMPARE = ['diff-tree', '-r', '--no-renames', '--no-ext-diff', '--no-textconv']

async function changedFiles(repository: Repository, range: string[], limit: number) {
  const files: z.infer<typeof ChangedFile>[] = []
  const sum = { total: 0, additions: 0, deletions: 0 }
  for await (const records of recordsOf(streamGit(repository, [...COMPARE, '--numstat', '-z', ...range]))) {
    for (const record of records) {
      const [additions = '', deletions = ''] = record.toString('latin1').split('\t', 2)
      const path = pathText(record.subarray(additions.length + deletions.length + 2))
      sum.total += 1
      sum.additions += Number(additions) || 0
      sum.deletions += Number(deletions) || 0
      if (files.length < limit)
        files.push(additions === '-' ? { path } : { path, additions: Number(additions), deletions: Number(deletions) })
    }
  }
  return { files, ...sum }
}

async function readPatch(repository: Repository, range: string[], maxBytes: number) {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of streamGit(repository, [...COMPARE, '--patch', ...range])) {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxBytes) break
  }
  return { patch: Buffer.concat(chunks).subarray(0, maxBytes).toString('utf8').replaceAll('\0', '\ufffd'), truncated: size > maxBytes }
}
