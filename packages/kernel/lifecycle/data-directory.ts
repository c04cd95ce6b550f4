import { access, chmod, constants, mkdir, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'

const ServerFile = z.object({
  pid: z.number().int().positive(),
  url: z.url(),
  startedAt: z.string(),
  /** The same as /version says: a process that merely got the number of a dead one is not taken for it. */
  instance: z.string(),
})
/** Where the server of a data folder is found. */
export type ServerFile = z.infer<typeof ServerFile>

export interface DataDirectory {
  path: string
  /**
   * The space that is left, in words.
   * @throws `disk_full` when it is less than so many megabytes, or nothing can be written there at all
   */
  space(leastFreeMegabytes: number): Promise<string>
  /** A folder inside, made when missing. */
  folder(name: string): Promise<string>
  /** Says where the server is, for the command line to find. */
  announce(server: { url: string; instance: string }): Promise<void>
  /** Takes back what `announce` said, if it was this process. */
  withdraw(): Promise<void>
}

/**
 * Opens the data folder for a server; makes it when missing, for its owner alone.
 * @throws `data_directory_in_use`, `data_directory_corrupt`, `disk_full`, `invalid_input`
 */
export async function openDataDirectory(path: string): Promise<DataDirectory> {
  await makeFolder(path)
  const running = await findRunningServer(path)
  if (running && running.pid !== process.pid)
    throw new SomaError(
      'data_directory_in_use',
      `A server with process id ${running.pid} already runs on ${path}, at ${running.url}. Stop it, or choose another folder with SOMA_DATA.`,
      { path, pid: running.pid, url: running.url },
    )
  const file = join(path, 'server.json')
  let announced: ServerFile | undefined
  return {
    path,
    space: (least) => spaceOf(path, least),
    folder: async (name) => {
      const folder = join(path, name)
      await makeFolder(folder)
      return folder
    },
    announce: async ({ url, instance }) => {
      announced = { pid: process.pid, url, startedAt: new Date().toISOString(), instance }
      // Renamed into place, so that nobody reads half of it.
      const draft = `${file}.${process.pid}`
      await writeFile(draft, `${JSON.stringify(announced, null, 2)}\n`, { mode: 0o600 }).catch((error) => {
        throw explain(error, file)
      })
      await rename(draft, file)
    },
    withdraw: async () => {
      if (announced && (await readServerFile(path))?.instance === announced.instance) await rm(file, { force: true })
    },
  }
}

async function spaceOf(path: string, leastFreeMegabytes: number): Promise<string> {
  const { bavail, bsize } = await statfs(path)
  const megabytes = Math.floor((bavail * bsize) / 1024 ** 2)
  const fail = (what: string) => new SomaError('disk_full', `${what} Free some space, or set SOMA_DATA to a folder with more of it.`)
  if (megabytes < leastFreeMegabytes) throw fail(`Only ${megabytes} MB are left where the data folder is.`)
  await access(path, constants.W_OK).catch(() => {
    throw fail('The data folder can not be written.')
  })
  return `${megabytes} MB free`
}

/** The server that runs on a data folder now; undefined when none does, or when the one that wrote the file is gone. */
export async function findRunningServer(path: string): Promise<ServerFile | undefined> {
  const written = await readServerFile(path)
  if (!written || !isAlive(written.pid)) return undefined
  return (await answersAs(written)) ? written : undefined
}

async function readServerFile(path: string): Promise<ServerFile | undefined> {
  const text = await readFile(join(path, 'server.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    return ServerFile.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** A server that is there but too busy to answer counts as running; only a refused connection or another instance does not. */
async function answersAs({ url, instance }: ServerFile): Promise<boolean> {
  try {
    const answer = await fetch(new URL('/version', url), { signal: AbortSignal.timeout(2000) })
    return ((await answer.json()) as { instance?: string }).instance === instance
  } catch (error) {
    return (error as Error).name === 'TimeoutError'
  }
}

async function makeFolder(path: string): Promise<void> {
  try {
    const isNew = (await mkdir(path, { recursive: true, mode: 0o700 })) !== undefined
    if (!(await stat(path)).isDirectory()) throw Object.assign(new Error('is not a folder'), { code: 'ENOTDIR' })
    if (isNew) await chmod(path, 0o700)
  } catch (error) {
    throw explain(error as NodeJS.ErrnoException, path)
  }
}

function explain(cause: NodeJS.ErrnoException, path: string): unknown {
  const fail = (code: 'disk_full' | 'data_directory_corrupt' | 'invalid_input', message: string) =>
    new SomaError(code, message, { path }, { cause })
  if (cause.code === 'ENOSPC') return fail('disk_full', `The disk that holds ${path} is full. Free some space and start again.`)
  if (cause.code === 'ENOTDIR' || cause.code === 'EEXIST')
    return fail('data_directory_corrupt', `${path} is not a folder. Move it away, or choose another folder with SOMA_DATA.`)
  if (cause.code === 'EACCES' || cause.code === 'EPERM' || cause.code === 'EROFS')
    return fail('invalid_input', `${path} can not be written by this user (${cause.code}). Choose another folder with SOMA_DATA.`)
  return cause
}
