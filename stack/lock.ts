import { open, readFile, rm } from 'node:fs/promises'
import { setTimeout as pass } from 'node:timers/promises'
import { isAlive, type ProcessIdentity, thisProcess } from './process-identity.ts'

/** Runs `work` while no other process holds the lock file. One that a dead process left behind is taken over. */
export async function withLock<Result>(file: string, work: () => Promise<Result>): Promise<Result> {
  while (!(await tryLock(file))) await pass(100)
  try {
    return await work()
  } finally {
    await rm(file, { force: true })
  }
}

async function tryLock(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx')
    await handle.writeFile(JSON.stringify(await thisProcess()))
    await handle.close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
  const holder = await readHolder(file)
  if (holder && !(await isAlive(holder))) await rm(file, { force: true })
  return false
}

/** Undefined while its holder is still writing it. */
async function readHolder(file: string): Promise<ProcessIdentity | undefined> {
  try {
    return JSON.parse(await readFile(file, 'utf8')) as ProcessIdentity
  } catch {
    return undefined
  }
}
