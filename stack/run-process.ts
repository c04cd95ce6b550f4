import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pass } from 'node:timers/promises'
import { execa } from 'execa'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'
import type { ServerProcess } from './server.ts'

/** `nobody`, on every Linux. */
const UNPRIVILEGED = 65_534

/**
 * Starts a process in a session of its own, with its output in `<name>.log`.
 * @throws when the program can't be started
 */
export async function runProcess(folder: string, { name, command, args, env, unprivileged }: ServerProcess): Promise<ProcessIdentity> {
  const log = await open(join(folder, `${name}.log`), 'a')
  const drop = unprivileged && isRoot()
  const [program, ...words] = drop ? asUnprivileged(command, args) : [command, ...args]
  const child = spawn(program as string, words, {
    cwd: folder,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  try {
    await once(child, 'spawn')
  } finally {
    await log.close()
  }
  child.unref()
  const identity = await identify(child.pid as number)
  if (!identity) throw new Error(`${name} ended as soon as it was started. See ${join(folder, `${name}.log`)}`)
  return identity
}

/** Runs a command to its end as the same user that `unprivileged` processes have. */
export async function runUnprivileged(
  folder: string,
  command: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<void> {
  const [program, ...words] = isRoot() ? asUnprivileged(command, args) : [command, ...args]
  await execa(program as string, words, { cwd: folder, env, stdin: 'ignore' })
}

/** Ends a process and waits until it is gone: asks first, and after ten seconds no more. */
export async function endProcess(identity: ProcessIdentity, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const deadline = Date.now() + 10_000
  let sent: NodeJS.Signals | undefined
  while (await isAlive(identity)) {
    const next = Date.now() > deadline ? 'SIGKILL' : signal
    if (sent !== next) send(identity.pid, next)
    sent = next
    await pass(20)
  }
}

/** To the whole session, for a server may be a shell script around another program. */
function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function isRoot(): boolean {
  return process.getuid?.() === 0
}

/**
 * Programs and data may lie below a folder that only root may enter. In a user namespace a process is somebody else to itself and still
 * the owner of its files.
 */
function asUnprivileged(command: string, args: readonly string[]): string[] {
  return ['unshare', '--user', `--map-user=${UNPRIVILEGED}`, `--map-group=${UNPRIVILEGED}`, '--', command, ...args]
}
