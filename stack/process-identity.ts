import { readFile } from 'node:fs/promises'
import { execa } from 'execa'

/** A process, told apart from a later one that got the same id. */
export interface ProcessIdentity {
  pid: number
  /** When it was started, in whatever unit the system says it. */
  startedAt: string
}

export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const startedAt = await startOf(pid)
  return startedAt === undefined ? undefined : { pid, startedAt }
}

export async function thisProcess(): Promise<ProcessIdentity> {
  return (await identify(process.pid)) as ProcessIdentity
}

export async function isAlive({ pid, startedAt }: ProcessIdentity): Promise<boolean> {
  return (await startOf(pid)) === startedAt
}

/** Undefined for a process that ended, also for one that nobody has buried yet (a zombie). */
async function startOf(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') {
    const { stdout, exitCode } = await execa('ps', ['-o', 'lstart=', '-p', String(pid)], { reject: false })
    return exitCode === 0 ? stdout.trim() || undefined : undefined
  }
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  // The command stands in brackets and may hold anything; after it come the state and, as the 20th field, the start.
  const fields = line?.slice(line.lastIndexOf(')') + 2).split(' ')
  return fields?.[0] === 'Z' ? undefined : fields?.[19]
}
