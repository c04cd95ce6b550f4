import { mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ClickHouseClientConfigOptions } from '@clickhouse/client'
import { SomaError } from '@soma/contracts/errors'
import { analyticsOn, JSON_HANDLING, SESSION_SETTINGS } from './client.ts'
import type { Analytics } from './port.ts'

/**
 * The analytics port on ClickHouse inside this process, its data in a folder that one process at a time owns. A process serves one
 * folder at a time. Statements run on threads of their own, so the event loop stays free; loading the engine (150 MB of memory)
 * blocks it for a fifth of a second or so, which is why that happens here and not at import.
 * @throws `data_directory_in_use`, `data_directory_corrupt`, `dependency_unavailable`
 */
export async function openChdb(options: { directory: string }): Promise<Analytics> {
  const directory = resolve(options.directory)
  const [{ createClient }, { createChdbConnection }, { drainPending }] = await loadEngine()
  await prepare(directory)
  const connection = await connect(directory, createChdbConnection)
  // The same contract, but the client has its own copy of the types, with settings that the copy chDB names does not know yet.
  const client = createClient({ connection: connection as ClickHouseClientConfigOptions['connection'], json: JSON_HANDLING })
  const settings = Object.entries(SESSION_SETTINGS).map(([name, value]) => `${name} = '${value}'`)
  await client.command({ query: `set ${settings.join(', ')}` })
  const analytics = analyticsOn(client)
  return {
    ...analytics,
    close: async () => {
      await analytics.close()
      // A statement that still runs holds the folder until it is through.
      await drainPending()
    },
  }
}

async function loadEngine() {
  try {
    return await Promise.all([import('@clickhouse/client'), import('chdb/connection'), import('chdb')])
  } catch (cause) {
    throw new SomaError(
      'dependency_unavailable',
      `chDB does not load on ${process.platform} ${process.arch}: ${(cause as Error).message}. It runs on Linux (glibc) and macOS, x64 and arm64; run npm install without --omit=optional, or use a ClickHouse server.`,
      {},
      { cause },
    )
  }
}

async function connect<Opened>(directory: string, open: (options: { path: string }) => Opened): Promise<Opened> {
  try {
    return open({ path: directory })
  } catch (cause) {
    const elsewhere = /only one active data directory per process.*\(path='(.*?)'\)/.exec((cause as Error).message)?.[1]
    if (elsewhere) {
      throw new SomaError(
        'data_directory_in_use',
        `This process has its analytics in ${elsewhere} already, and chDB serves one folder per process. Close that one first.`,
        { directory, open: elsewhere },
        { cause },
      )
    }
    const owner = await ownerOf(directory)
    if (owner) {
      throw new SomaError(
        'data_directory_in_use',
        `Process ${owner} has the analytics in ${directory} open. Stop it, or choose another data directory.`,
        { directory, process: owner },
        { cause },
      )
    }
    throw new SomaError(
      'data_directory_corrupt',
      `The analytics in ${directory} do not open; the line that chDB wrote to standard error says why. They can be built anew from the journal: move ${directory} away and start again.`,
      { directory },
      { cause },
    )
  }
}

/** ClickHouse locks its `status` file and notes in it who it is. Of a process that was killed the note stays, but not the process. */
async function ownerOf(directory: string): Promise<number | undefined> {
  const status = await readFile(join(directory, 'status'), 'utf8').catch(() => '')
  const owner = Number(/^PID: (\d+)/m.exec(status)?.[1])
  return owner && owner !== process.pid && isAlive(owner) ? owner : undefined
}

function isAlive(process_: number): boolean {
  try {
    return process.kill(process_, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function prepare(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new SomaError(
      'data_directory_corrupt',
      `Analytics can't be kept in ${directory}: ${(cause as Error).message}. Make it a folder that the platform's user may write, or choose another data directory.`,
      { directory },
      { cause },
    )
  }
}
