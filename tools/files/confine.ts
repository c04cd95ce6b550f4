import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { SomaError } from '@soma/contracts/errors'
import { pathBytes } from '../frame/pathText.ts'

/** A place in the workspace that is safe to use until `close`. Paths are bytes, because names need not be UTF-8. */
export interface Place {
  /** The path to hand to the file system. */
  target: Buffer
  /** The folder it lies in; the workspace, for the workspace itself. */
  parent: Buffer
  isWorkspace: boolean
  close(): Promise<void>
}

const SEPARATOR = Buffer.from('/')
/** What /proc has for an open folder looks like a symbolic link; with it, it is the folder. */
const ITSELF = Buffer.from('.')

/**
 * Where a path leads, all symbolic links followed.
 * @throws path_escapes_workspace when that is outside; not_found
 */
export async function followInWorkspace(workspace: string, path: string): Promise<Place> {
  const root = await realpath(workspace)
  const names = namesOf(path)
  return place(root, path, await namesBelow(root, path, names))
}

/**
 * The entry that a path names, itself perhaps a symbolic link or not there; the links on the way to it are followed.
 * @throws path_escapes_workspace when its folder is outside; not_found when its folder is not there
 */
export async function entryInWorkspace(workspace: string, path: string): Promise<Place> {
  const root = await realpath(workspace)
  const names = namesOf(path)
  const last = names.slice(-1)
  return place(root, path, [...(await namesBelow(root, path, names.slice(0, -1))), ...last])
}

/**
 * A folder, all symbolic links followed, held so that it stays the one that was checked.
 * @throws path_escapes_workspace when it is outside; not_found; invalid_input when it is no folder
 */
export async function folderInWorkspace(workspace: string, path: string): Promise<Place> {
  const root = await realpath(workspace)
  const names = await namesBelow(root, path, namesOf(path))
  const held = await holdFolder(root, path, names)
  return { parent: held.path, target: join([held.path, ITSELF]), isWorkspace: names.length === 0, close: held.close }
}

function namesOf(path: string): Buffer[] {
  if (path.includes('\0')) throw escapes(path, 'it contains a NUL')
  if (path.startsWith('/') || /^[A-Za-z]:[\\/]/.test(path)) throw escapes(path, 'it is absolute; give it relative to the workspace')
  const names = path.split('/').filter((name) => name !== '' && name !== '.')
  if (names.includes('..')) throw escapes(path, 'it goes up with ".."')
  return names.map((name) => {
    const bytes = pathBytes(name)
    if (bytes.includes('/') || bytes.includes(0) || bytes.equals(Buffer.from('..'))) throw escapes(path, 'it hides a separator')
    return bytes
  })
}

/** The names from the workspace to where `names` lead, without symbolic links. */
async function namesBelow(root: string, path: string, names: Buffer[]): Promise<Buffer[]> {
  const top = Buffer.from(root)
  const real = await realpath(join([top, ...names]), 'buffer').catch((cause) => {
    throw fileError(path, cause)
  })
  const prefix = Buffer.from(root.endsWith('/') ? root : `${root}/`)
  if (real.equals(top)) return []
  if (!real.subarray(0, prefix.length).equals(prefix)) throw escapes(path, 'a symbolic link leads out of it')
  return real
    .subarray(prefix.length)
    .toString('latin1')
    .split('/')
    .map((name) => Buffer.from(name, 'latin1'))
}

async function place(root: string, path: string, names: Buffer[]): Promise<Place> {
  const last = names.at(-1)
  const held = await holdFolder(root, path, names.slice(0, -1))
  return { parent: held.path, target: join([held.path, last ?? ITSELF]), isWorkspace: !last, close: held.close }
}

/**
 * Opens each folder from the one before, never through a symbolic link, so that a folder which somebody swaps for a link after the
 * check is not followed. Node has no `openat`; on Linux /proc names what is open, elsewhere the checked path has to do.
 */
async function holdFolder(root: string, path: string, names: Buffer[]): Promise<{ path: Buffer; close(): Promise<void> }> {
  if (process.platform !== 'linux') return { path: join([Buffer.from(root), ...names]), close: async () => {} }
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
  let folder: FileHandle = await open(root, flags)
  for (const name of names) {
    const outer = folder
    try {
      folder = await open(join([pathOf(outer), name]), flags)
    } catch (cause) {
      throw fileError(path, cause)
    } finally {
      await outer.close()
    }
  }
  return { path: pathOf(folder), close: () => folder.close() }
}

function pathOf(handle: FileHandle): Buffer {
  return Buffer.from(`/proc/self/fd/${handle.fd}`)
}

export function join(parts: Buffer[]): Buffer {
  return Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [SEPARATOR, part])))
}

function escapes(path: string, why: string): SomaError {
  return new SomaError('path_escapes_workspace', `The path ${JSON.stringify(path)} leads out of the workspace: ${why}.`, { path })
}

const SENTENCES: Record<string, ['not_found' | 'invalid_input' | 'conflict' | 'disk_full' | 'path_escapes_workspace', string]> = {
  ENOENT: ['not_found', 'does not exist in the workspace'],
  ENOTDIR: ['invalid_input', 'goes through a file as if it were a folder'],
  EISDIR: ['invalid_input', 'is a folder'],
  EEXIST: ['conflict', 'exists already'],
  ENOTEMPTY: ['conflict', 'is a folder that is not empty; set "recursive" to delete what is in it'],
  ELOOP: ['path_escapes_workspace', 'is, or became, a symbolic link that must not be followed'],
  ENAMETOOLONG: ['invalid_input', 'is longer than the file system allows'],
  ENOSPC: ['disk_full', 'could not be written: the disk has no space left'],
  EDQUOT: ['disk_full', 'could not be written: the quota is used up'],
}

/** What the file system said about a path, as an error that names it the way the caller did. */
export function fileError(path: string, cause: unknown): unknown {
  if (SomaError.is(cause)) return cause
  const reason = (cause as NodeJS.ErrnoException).code
  const [code, sentence] = SENTENCES[reason ?? ''] ?? (['tool_failed', `could not be used (${reason ?? String(cause)})`] as const)
  return new SomaError(code, `${JSON.stringify(path)} ${sentence}.`, { path, reason }, { cause })
}

/** Uses a place and lets go of it; errors of the file system come out as `fileError`. */
export async function within<T>(located: Promise<Place>, path: string, use: (place: Place) => Promise<T>): Promise<T> {
  const found = await located
  try {
    return await use(found)
  } catch (cause) {
    throw fileError(path, cause)
  } finally {
    await found.close()
  }
}
