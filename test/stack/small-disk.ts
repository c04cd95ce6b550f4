import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from '@soma/stack/server'

/**
 * Mounts a disk in memory where the server's folder is, seen by the server alone, with what was prepared there, and becomes the server.
 * Mounting takes a root of its own, which some servers refuse to be.
 */
const MOUNT = `mount -t tmpfs -o size="$0" tmpfs "$1" && cp -a . "$1" && cd "$1" && shift &&
  exec unshare --user --map-user=65534 --map-group=65534 -- "$@"`

/** The server with its folder on a disk of so many bytes. What it keeps is gone when it ends. */
export function onSmallDisk(server: Server, bytes: number): Server {
  return {
    ...server,
    start: (place, cache) => {
      const words = ['--user', '--map-root-user', '--mount', 'sh', '-c', MOUNT, String(bytes), place.folder]
      const run: typeof place.run = (process) =>
        place.run({ ...process, command: 'unshare', args: [...words, process.command, ...process.args] })
      return server.start({ ...place, run }, cache)
    },
  }
}

/**
 * Takes all the space that is left on the small disk.
 * @param pid of the server
 * @param folder the server's
 * @returns how to give it back
 */
export async function fillDisk(pid: number, folder: string): Promise<() => Promise<void>> {
  const ballast = join(`/proc/${pid}/root`, folder, 'ballast')
  const file = await open(ballast, 'w')
  try {
    // Large pieces first, then what is left.
    for (const size of [1 << 20, 1 << 12]) while (await hasWritten(file.write(Buffer.alloc(size)))) {}
  } finally {
    await file.close()
  }
  return () => rm(ballast)
}

/** False on a full disk. */
async function hasWritten(writing: Promise<unknown>): Promise<boolean> {
  try {
    await writing
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    return false
  }
}
