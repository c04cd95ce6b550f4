import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { execa } from 'execa'
import { withLock } from './lock.ts'

/** Where what was installed is kept, outside of any checkout. */
export interface Cache {
  folder: string
  /**
   * A folder with what `make` puts into it, made once: by one process at a time, complete or not at all.
   * @param key names content and version: another version is another key
   */
  once(key: string, make: (draft: string) => Promise<void>): Promise<string>
  /** The folder of a key that `once` made. */
  path(key: string, ...names: string[]): string
  /** Runs an installer's command. What it prints is shown only when it fails. */
  run(command: string, args: readonly string[], options?: { cwd?: string; env?: Record<string, string> }): Promise<string>
}

export function openCache(folder = process.env.SOMA_STACK_CACHE || join(homedir(), '.cache', 'soma-stack')): Cache {
  return {
    folder,
    path: (key, ...names) => join(folder, key, ...names),
    once: async (key, make) => {
      const path = join(folder, key)
      if (existsSync(path)) return path
      await mkdir(dirname(path), { recursive: true })
      await withLock(`${path}.lock`, async () => {
        if (existsSync(path)) return
        const draft = `${path}.draft`
        await rm(draft, { recursive: true, force: true })
        await mkdir(draft)
        await make(draft)
        await rename(draft, path)
      })
      return path
    },
    run: async (command, args, options = {}) => {
      const { stdout } = await execa(command, args, { ...options, all: true, stdin: 'ignore' }).catch((cause: { all?: string }) => {
        const last = cause.all?.trim().split('\n').slice(-25).join('\n')
        throw new Error(`${[command, ...args].join(' ')} failed:\n${last || String(cause)}`)
      })
      return stdout
    },
  }
}
