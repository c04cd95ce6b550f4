import { lstat, readdir, readlink } from 'node:fs/promises'
import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { pathText } from '../frame/pathText.ts'
import { entryInWorkspace, folderInWorkspace, join, within } from './confine.ts'
import { digestFile } from './content.ts'
import { fileFacts, Kind, kindOf, WorkspacePath } from './target.ts'

const Entry = z.object({
  path: z.string().describe('Relative to the workspace'),
  kind: Kind,
  size: z.number().int().describe('Bytes; 0 for a folder'),
})
export type Entry = z.infer<typeof Entry>

export const list = operation({
  name: 'files.list',
  summary: 'What is in a folder',
  input: z.object({
    path: WorkspacePath.default('.'),
    recursive: z.boolean().default(false).describe('Also what is in its folders; symbolic links are named, not followed'),
    limit: z.number().int().min(1).max(10_000).default(1_000).describe('Give so many entries at most'),
    after: z.string().optional().describe('Go on after this path: the last one of the page before'),
  }),
  output: z.object({
    entries: z.array(Entry).describe('By name; a folder before what is in it'),
    more: z.boolean().describe('There are more'),
  }),
  effect: 'read',
  capability: 'tool.files.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: ({ path }) => fileFacts(path),
  async run({ path, recursive, limit, after }, { workspace, signal }) {
    const entries: Entry[] = []
    let isWanted = after === undefined
    for await (const entry of recursive ? walk(workspace, path) : await entriesOf(workspace, path)) {
      signal.throwIfAborted()
      if (isWanted && entries.length === limit) return { entries, more: true }
      if (isWanted) entries.push(entry)
      else isWanted = entry.path === after
    }
    return { entries, more: false }
  },
})

export const stat = operation({
  name: 'files.stat',
  summary: 'What is at a path',
  input: z.object({ path: WorkspacePath }),
  output: z.object({
    exists: z.boolean().describe('Something is there'),
    kind: Kind.optional(),
    size: z.number().int().optional().describe('Bytes'),
    modifiedAt: z.string().optional().describe('When its content last changed, ISO 8601'),
    digest: z.string().optional().describe('Of a file: sha256: and 64 hex digits'),
    leadsTo: z.string().optional().describe('Of a symbolic link: what it says'),
  }),
  effect: 'read',
  capability: 'tool.files.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  resource: ({ path }) => fileFacts(path),
  async run({ path }, { workspace }) {
    try {
      return await within(entryInWorkspace(workspace, path), path, async (place) => {
        const stats = await lstat(place.target)
        const kind = kindOf(stats)
        const digest = kind === 'file' ? await digestFile(place, path) : undefined
        const leadsTo = kind === 'symlink' ? pathText(await readlink(place.target, 'buffer')) : undefined
        return { exists: true, kind, size: stats.size, modifiedAt: stats.mtime.toISOString(), digest, leadsTo }
      })
    } catch (error) {
      if (SomaError.is(error, 'not_found')) return { exists: false }
      throw error
    }
  },
})

/** Everything below a folder, each folder before what is in it. Symbolic links are given, not followed. */
export async function* walk(workspace: string, path: string): AsyncGenerator<Entry> {
  for (const entry of await entriesOf(workspace, path)) {
    yield entry
    if (entry.kind === 'folder') yield* walk(workspace, entry.path)
  }
}

/** Names in a folder by their bytes. What disappears meanwhile is left out. */
async function entriesOf(workspace: string, path: string): Promise<Entry[]> {
  return within(folderInWorkspace(workspace, path), path, async (place) => {
    const names = (await readdir(place.target, 'buffer')).sort(Buffer.compare)
    const prefix = path.split('/').filter((name) => name !== '' && name !== '.')
    const entries = await Promise.all(
      names.map(async (name) => {
        const stats = await lstat(join([place.target, name])).catch(() => undefined)
        if (!stats) return []
        return [{ path: [...prefix, pathText(name)].join('/'), kind: kindOf(stats), size: stats.isDirectory() ? 0 : stats.size }]
      }),
    )
    return entries.flat()
  })
}
