import { link, lstat, mkdir as makeFolder, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { entryInWorkspace, followInWorkspace, type Place, within } from './confine.ts'
import { chunksOf, createFile, digestIfThere, openFile } from './content.ts'
import { fileFacts, type Kind, kindOf, WorkspacePath } from './target.ts'

const FromTo = z.object({
  from: WorkspacePath.describe('What to take'),
  to: WorkspacePath.describe('Where to put it; nothing may be there'),
})
const Placed = z.object({ path: z.string().describe('Where it is now') })

export const move = operation({
  name: 'files.move',
  summary: 'Move or rename a file or folder',
  input: FromTo,
  output: Placed,
  effect: 'write',
  capability: 'tool.files.write',
  idempotency: {
    kind: 'marker',
    find: async ({ from, to }, { workspace }) =>
      (await kindAt(workspace, to)) !== undefined && (await kindAt(workspace, from)) === undefined ? { path: to } : undefined,
  },
  reversedBy: 'files.move',
  resource: ({ from, to }) => fileFacts(from, { to }),
  run: ({ from, to }, { workspace }) =>
    within(entryInWorkspace(workspace, from), from, (source) =>
      within(entryInWorkspace(workspace, to), to, async (target) => {
        requireNotWorkspace(source, from)
        await moveEntry(source, target)
        return { path: to }
      }),
    ),
})

export const copy = operation({
  name: 'files.copy',
  summary: 'Copy a file',
  input: FromTo,
  output: Placed,
  effect: 'write',
  capability: 'tool.files.write',
  idempotency: {
    kind: 'marker',
    async find({ from, to }, { workspace }) {
      const made = await digestIfThere(entryInWorkspace(workspace, to), to)
      if (made === undefined) return undefined
      return made === (await digestIfThere(followInWorkspace(workspace, from), from)) ? { path: to } : undefined
    },
  },
  reversedBy: 'files.delete',
  resource: ({ from, to }) => fileFacts(from, { to }),
  run: ({ from, to }, { workspace, signal }) =>
    within(followInWorkspace(workspace, from), from, (source) =>
      within(entryInWorkspace(workspace, to), to, async (target) => {
        const handle = await openFile(source, from)
        try {
          await createFile(target, async (made) => {
            for await (const chunk of chunksOf(handle)) {
              signal.throwIfAborted()
              await made.writeFile(chunk)
            }
          })
        } finally {
          await handle.close()
        }
        return { path: to }
      }),
    ),
})

export const remove = operation({
  name: 'files.delete',
  summary: 'Delete a file or folder',
  input: z.object({ path: WorkspacePath, recursive: z.boolean().default(false).describe('Also what is in the folder') }),
  output: z.object({ path: z.string().describe('What is gone') }),
  effect: 'destructive',
  capability: 'tool.files.destroy',
  idempotency: {
    kind: 'marker',
    find: async ({ path }, { workspace }) => ((await kindAt(workspace, path)) === undefined ? { path } : undefined),
  },
  resource: ({ path, recursive }) => fileFacts(path, { recursive }),
  run: ({ path, recursive }, { workspace }) =>
    within(entryInWorkspace(workspace, path), path, async (place) => {
      requireNotWorkspace(place, path)
      const kind = kindOf(await lstat(place.target))
      if (kind !== 'folder') await unlink(place.target)
      else await (recursive ? rm(place.target, { recursive: true }) : rmdir(place.target))
      return { path }
    }),
})

export const mkdir = operation({
  name: 'files.mkdir',
  summary: 'Make a folder, and those it lies in',
  input: z.object({ path: WorkspacePath }),
  output: z.object({ path: z.string().describe('The folder; it may have been there before') }),
  effect: 'write',
  capability: 'tool.files.write',
  idempotency: {
    kind: 'marker',
    find: async ({ path }, { workspace }) => ((await kindAt(workspace, path)) === 'folder' ? { path } : undefined),
  },
  reversedBy: 'files.delete',
  resource: ({ path }) => fileFacts(path),
  async run({ path }, { workspace }) {
    const names = path.split('/')
    for (let count = 1; count <= names.length; count++) {
      const part = names.slice(0, count).join('/') || '.'
      await within(entryInWorkspace(workspace, part), path, (place) => makeIfMissing(place, path))
    }
    return { path }
  },
})

async function makeIfMissing(place: Place, path: string): Promise<void> {
  try {
    if (!place.isWorkspace) await makeFolder(place.target)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const kind = kindOf(await lstat(place.target))
    if (kind !== 'folder' && kind !== 'symlink') throw new SomaError('conflict', `${JSON.stringify(path)} goes through a file.`, { path })
  }
}

/** `rename` replaces what is there; for a file a hard link does not, and for a folder only an empty one is replaced. */
async function moveEntry(source: Place, target: Place): Promise<void> {
  if (kindOf(await lstat(source.target)) !== 'file') {
    if (await lstat(target.target).catch(() => undefined)) throw Object.assign(new Error('exists'), { code: 'EEXIST' })
    await rename(source.target, target.target)
    return
  }
  await link(source.target, target.target)
  await unlink(source.target)
}

/** Undefined when nothing is there. */
async function kindAt(workspace: string, path: string): Promise<Kind | undefined> {
  try {
    return await within(entryInWorkspace(workspace, path), path, async (place) => kindOf(await lstat(place.target)))
  } catch (error) {
    if (SomaError.is(error, 'not_found')) return undefined
    throw error
  }
}

function requireNotWorkspace(place: Place, path: string): void {
  if (place.isWorkspace)
    throw new SomaError('invalid_input', `${JSON.stringify(path)} is the workspace itself. Name something in it.`, { path })
}
