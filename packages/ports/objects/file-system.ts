import { randomUUID } from 'node:crypto'
import { access, constants, mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { ObjectRef } from '@soma/contracts/operation'
import { requireTenant } from '@soma/contracts/requirements'
import type { Objects } from './port.ts'
import { digestOf, objectNotFound, requireDigest, requireIntact, requireMediaType, requireObjectSize, requirePageSize } from './rules.ts'

/** Holds what is being written. A tenant never begins with a dot. */
const INCOMING = '.incoming'
/** Milliseconds after which a file in `INCOMING` can only be what a killed process left. */
const ABANDONED = 60 * 60 * 1000
/** Beside the content and not inside, so that `sha256sum` of a stored file is its name. */
const MEDIA_TYPE_SUFFIX = '.type'
const UNKNOWN_MEDIA_TYPE = 'application/octet-stream'

/**
 * The objects port in a folder: `<tenant>/<first two hex digits>/<64 hex digits>`. A file is written under another name, synced and
 * then renamed, so whoever finds it finds all of it, in any process and after any crash.
 * @throws `data_directory_corrupt` when the folder can't be written
 */
export async function openFileSystemObjects(options: { directory: string }): Promise<Objects> {
  const directory = resolve(options.directory)
  const incoming = join(directory, INCOMING)
  await prepare(directory, incoming)

  const fileOf = (tenant: string, digest: string): string => {
    requireTenant(tenant)
    const hex = requireDigest(digest)
    return join(directory, tenant, hex.slice(0, 2), hex)
  }

  const store = async (file: string, content: Uint8Array | string): Promise<void> => {
    const temporary = join(incoming, randomUUID())
    try {
      const made = await mkdir(dirname(file), { recursive: true, mode: 0o700 })
      await writeSynced(temporary, content)
      await rename(temporary, file)
      await sync(dirname(file))
      if (made) await Promise.all([sync(directory), sync(join(dirname(file), '..'))])
    } catch (error) {
      await rm(temporary, { force: true })
      throw explainWriteFailure(error, directory)
    }
  }

  return {
    put: async (tenant, content, mediaType) => {
      requireMediaType(mediaType)
      requireObjectSize(content.byteLength)
      const digest = await digestOf(content)
      const file = fileOf(tenant, digest)
      if ((await readMediaType(file)) !== mediaType) await store(file + MEDIA_TYPE_SUFFIX, mediaType)
      if (!(await isIntact(file, digest))) await store(file, content)
      return { digest, size: content.byteLength, mediaType }
    },
    get: async (tenant, digest) => {
      const content = await readIfThere(fileOf(tenant, digest))
      if (!content) throw objectNotFound(tenant, digest)
      await requireIntact(content, tenant, digest)
      return content
    },
    stat: async (tenant, digest) => describe(fileOf(tenant, digest), digest),
    delete: async (tenant, digest) => {
      const file = fileOf(tenant, digest)
      await rm(file, { force: true })
      await rm(file + MEDIA_TYPE_SUFFIX, { force: true })
    },
    list: async (tenant, { after, limit = 100 } = {}) => {
      requireTenant(tenant)
      requirePageSize(limit)
      const afterHex = after === undefined ? '' : requireDigest(after)
      const found: ObjectRef[] = []
      for (const folder of await sortedNames(join(directory, tenant), /^[0-9a-f]{2}$/)) {
        if (folder < afterHex.slice(0, 2)) continue
        for (const hex of await sortedNames(join(directory, tenant, folder), /^[0-9a-f]{64}$/)) {
          if (hex <= afterHex) continue
          const reference = await describe(join(directory, tenant, folder, hex), `sha256:${hex}`)
          if (reference) found.push(reference)
          if (found.length === limit) return found
        }
      }
      return found
    },
    version: async () => process.versions.node,
    close: async () => undefined,
  }
}

async function prepare(directory: string, incoming: string): Promise<void> {
  try {
    await mkdir(incoming, { recursive: true, mode: 0o700 })
    await access(incoming, constants.W_OK)
  } catch (cause) {
    if (isCode(cause, 'ENOSPC', 'EDQUOT')) throw explainWriteFailure(cause, directory)
    throw new SomaError(
      'data_directory_corrupt',
      `Objects can't be kept in ${directory}: ${(cause as Error).message}. Make it a folder that the platform's user may write, or choose another data directory.`,
      { directory },
      { cause },
    )
  }
  for (const name of await readdir(incoming)) {
    const file = join(incoming, name)
    const status = await ifThere(stat(file))
    if (status && Date.now() - status.mtimeMs > ABANDONED) await rm(file, { force: true })
  }
}

async function writeSynced(file: string, content: Uint8Array | string): Promise<void> {
  const handle = await open(file, 'wx', 0o600)
  try {
    await handle.writeFile(content)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a rename inside the folder survive a power cut. */
async function sync(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What a failed write means to whoever asked for it. */
export function explainWriteFailure(error: unknown, directory: string): unknown {
  if (!isCode(error, 'ENOSPC', 'EDQUOT')) return error
  return new SomaError(
    'disk_full',
    `The disk that holds ${directory} is full, so the object was not stored. Free some space and try again; what was stored before is safe.`,
    { directory },
    { cause: error },
  )
}

async function describe(file: string, digest: string): Promise<ObjectRef | undefined> {
  const status = await ifThere(stat(file))
  return status && { digest, size: status.size, mediaType: (await readMediaType(file)) ?? UNKNOWN_MEDIA_TYPE }
}

async function isIntact(file: string, digest: string): Promise<boolean> {
  const content = await readIfThere(file)
  return content !== undefined && (await digestOf(content)) === digest
}

const readMediaType = (file: string) => ifThere(readFile(file + MEDIA_TYPE_SUFFIX, 'utf8'))

const readIfThere = (file: string) => ifThere(readFile(file))

async function sortedNames(folder: string, pattern: RegExp): Promise<string[]> {
  const names = (await ifThere(readdir(folder))) ?? []
  return names.filter((name) => pattern.test(name)).sort()
}

async function ifThere<Result>(result: Promise<Result>): Promise<Result | undefined> {
  try {
    return await result
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function isCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '')
}
