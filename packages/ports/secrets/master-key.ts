import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'

const KEY_BYTES = 32
const HOW_TO_MAKE = 'Make one with: openssl rand -base64 32'

/**
 * The key that all secrets stand under: SOMA_MASTER_KEY (32 bytes as base64), or else the file `master.key` of the data directory,
 * which is made at first start. Whoever loses it loses the secrets, so it belongs into the backup, apart from the database.
 * @throws `invalid_input` for the variable; `data_directory_corrupt` for the file
 */
export async function loadMasterKey(dataDirectory: string, environment: NodeJS.ProcessEnv = process.env): Promise<Buffer> {
  const variable = environment.SOMA_MASTER_KEY
  if (variable !== undefined) return keyFromVariable(variable)
  const path = join(dataDirectory, 'master.key')
  const existing = await readKeyFile(path)
  if (existing) return existing
  await makeKeyFile(dataDirectory, path).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOSPC'
      ? new SomaError('disk_full', `The disk has no space left for ${path}. Make some, then start again.`, { path }, { cause })
      : new SomaError(
          'data_directory_corrupt',
          `${path} can not be written (${cause.code}). Give the data directory to the user that runs the platform.`,
          { path },
          { cause },
        )
  })
  const made = await readKeyFile(path)
  if (!made)
    throw new SomaError(
      'data_directory_corrupt',
      `${path} vanished while it was read. Start again with nothing else at work in the data directory.`,
      { path },
    )
  return made
}

function keyFromVariable(text: string): Buffer {
  const key = decodeKey(text)
  if (key) return key
  const found = text.trim() === '' ? 'is empty' : `holds ${text.length} characters that are not 32 bytes as base64`
  throw new SomaError(
    'invalid_input',
    `SOMA_MASTER_KEY ${found}. ${HOW_TO_MAKE}, or unset it to use the file master.key of the data directory.`,
  )
}

/** Undefined when there is no such file. */
async function readKeyFile(path: string): Promise<Buffer | undefined> {
  // Not blocking, should somebody have put a pipe there.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new SomaError(
      'data_directory_corrupt',
      `${path} can not be read (${error.code}). Give it to the user that runs the platform.`,
      { path },
      { cause: error },
    )
  })
  if (!file) return undefined
  try {
    return await readOwnKey(file, path)
  } finally {
    await file.close()
  }
}

async function readOwnKey(file: FileHandle, path: string): Promise<Buffer> {
  const stats = await file.stat()
  const { mode, size } = stats
  if (!stats.isFile())
    throw new SomaError('data_directory_corrupt', `${path} is not a file. Move it away, and restore master.key from a backup.`, { path })
  // Windows has no such mode; there the folder's own access list counts.
  if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
    throw new SomaError(
      'data_directory_corrupt',
      `${path} may be read or written by others (mode ${(mode & 0o777).toString(8)}). Run: chmod 600 ${path}. If others could really read it, make a new key.`,
      { path, mode: (mode & 0o777).toString(8) },
    )
  }
  const key = size > 1024 ? undefined : decodeKey(await file.readFile('utf8'))
  if (!key) {
    throw new SomaError(
      'data_directory_corrupt',
      `${path} (${size} bytes) does not hold 32 bytes as base64. Restore it from a backup; with another key the secrets can not be read.`,
      { path, size },
    )
  }
  return key
}

/** Whole or not at all, and never over another's: of two processes that start at once, both use the key of the first. */
async function makeKeyFile(dataDirectory: string, path: string): Promise<void> {
  await mkdir(dataDirectory, { recursive: true, mode: 0o700 })
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  const file = await open(draft, 'wx', 0o600)
  try {
    await file.writeFile(`${randomBytes(KEY_BYTES).toString('base64')}\n`)
    await file.sync()
    await link(draft, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    await file.close()
    await rm(draft, { force: true })
  }
  await syncFolder(dataDirectory)
}

/** A power cut must not take the name of the file away after secrets were written under the key. Windows can't, and need not, sync a folder. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Buffer.from skips what is no base64, so only what comes out the same way it went in counts. */
function decodeKey(text: string): Buffer | undefined {
  const trimmed = text.trim()
  const key = Buffer.from(trimmed, 'base64')
  return key.length === KEY_BYTES && key.toString('base64').replace(/=+$/, '') === trimmed.replace(/=+$/, '') ? key : undefined
}
