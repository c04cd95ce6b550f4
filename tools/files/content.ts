import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises'
import { SomaError } from '@soma/contracts/errors'
import { join, type Place, within } from './confine.ts'

const CHUNK = 256 * 1024

/** Opens a regular file for reading; never waits for a pipe, never follows a link. */
export async function openFile(place: Place, path: string): Promise<FileHandle> {
  const handle = await open(place.target, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const stats = await handle.stat()
  if (stats.isFile()) return handle
  await handle.close()
  throw new SomaError('invalid_input', `${JSON.stringify(path)} is not a file.`, { path })
}

/** `sha256:` and the hex digits, as objects have it. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The digest of a file of any size. */
export async function digestFile(place: Place, path: string): Promise<string> {
  const hash = createHash('sha256')
  const handle = await openFile(place, path)
  try {
    for await (const chunk of chunksOf(handle)) hash.update(chunk)
  } finally {
    await handle.close()
  }
  return `sha256:${hash.digest('hex')}`
}

/** A file's content, a piece at a time. */
export async function* chunksOf(handle: FileHandle): AsyncGenerator<Buffer, void, void> {
  for (;;) {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK)
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead)
  }
}

/** Undefined when no file is there: nothing, a folder, or a symbolic link. */
export async function digestIfThere(located: Promise<Place>, path: string): Promise<string | undefined> {
  try {
    return await within(located, path, (place) => digestFile(place, path))
  } catch (error) {
    if (SomaError.is(error, 'not_found') || SomaError.is(error, 'invalid_input')) return undefined
    if (SomaError.is(error, 'path_escapes_workspace') && error.details.reason === 'ELOOP') return undefined
    throw error
  }
}

/**
 * Puts a file in its place whole or not at all, safe on disk before it is seen. What is there keeps its permissions.
 * @param fill writes the content
 */
export async function replaceFile(place: Place, fill: (handle: FileHandle) => Promise<void>): Promise<void> {
  const mode = (await existing(place))?.mode
  await throughUnfinished(place, mode, fill, (unfinished) => rename(unfinished, place.target))
}

/**
 * As `replaceFile`, but only where nothing is yet.
 * @throws EEXIST
 */
export async function createFile(place: Place, fill: (handle: FileHandle) => Promise<void>): Promise<void> {
  await throughUnfinished(place, undefined, fill, async (unfinished) => {
    await link(unfinished, place.target)
    await unlink(unfinished)
  })
}

/** @throws EEXIST */
export async function assertNothingThere(place: Place): Promise<void> {
  if (await existing(place)) throw Object.assign(new Error('exists'), { code: 'EEXIST' })
}

async function throughUnfinished(
  place: Place,
  mode: number | undefined,
  fill: (handle: FileHandle) => Promise<void>,
  finish: (unfinished: Buffer) => Promise<void>,
): Promise<void> {
  const unfinished = join([place.parent, Buffer.from(`.unfinished-${randomBytes(8).toString('hex')}`)])
  const handle = await open(unfinished, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o644)
  try {
    try {
      await fill(handle)
      if (mode !== undefined) await handle.chmod(mode & 0o777)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await finish(unfinished)
  } catch (error) {
    await unlink(unfinished).catch(() => {}) // the error that led here says more
    throw error
  }
}

async function existing(place: Place) {
  const stats = await lstat(place.target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (stats?.isDirectory()) throw Object.assign(new Error('is a directory'), { code: 'EISDIR' })
  return stats?.isFile() ? stats : undefined
}
