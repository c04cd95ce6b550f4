import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'
import { memoryOfTrees } from './memory.ts'

/** A stack of the benchmarks' own, in a folder that git ignores. */
const FOLDER = fileURLToPath(new URL('.stack', import.meta.url))

export interface Servers {
  /** Is thrown away with the servers; on their disk. */
  folder: string
  /** The file with their addresses, as the platform reads it. */
  addresses: string
  /** From its start on an empty folder until it takes work. */
  startSeconds(name: string): number
  /** Of all its processes, in MB. */
  memoryOf(name: string): Promise<number>
  stop(): Promise<void>
}

/**
 * Installs these servers of the stack, unless they are, and starts them empty. What a run that was broken off left goes first.
 * @throws when one can't be installed or does not start
 */
export async function startServers(names: readonly string[]): Promise<Servers> {
  const stack = openStack(SERVERS, FOLDER)
  const seconds = new Map<string, number>()
  await stack.remove()
  try {
    await stack.up(names, ({ name }, step, milliseconds) => void (step === 'ready' && seconds.set(name, milliseconds / 1000)))
  } catch (error) {
    await stack.remove()
    throw error
  }
  return {
    folder: stack.folder,
    addresses: join(stack.folder, 'stack.env'),
    startSeconds: (name) => seconds.get(name) as number,
    async memoryOf(name) {
      const { processes } = await stack.stateOf(name)
      return memoryOfTrees(processes.map(({ pid }) => pid))
    },
    stop: () => stack.remove(),
  }
}
