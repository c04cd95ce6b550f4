import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('bin/soma.mjs', import.meta.url))

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

export interface RunningProgram {
  /** Resolves with the first line of standard output. */
  firstLine: Promise<string>
  ended: Promise<Ended>
  stop(signal: NodeJS.Signals): Promise<Ended>
}

const running = new Set<ChildProcess>()

/** Ends what a test that failed left behind. */
export function endAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

/** Starts `soma` as people do: in a process of its own, without a terminal; what it keeps for its user is in `config` of the folder. */
export function startSoma(words: readonly string[], options: { cwd: string; env?: Record<string, string> }): RunningProgram {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SOMA_')))
  const child = spawn(process.execPath, [PROGRAM, ...words], {
    cwd: options.cwd,
    env: { ...inherited, XDG_CONFIG_HOME: join(options.cwd, 'config'), ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.once('close', () => running.delete(child))
  let stdout = ''
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const firstLine = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (stdout.includes('\n')) resolve(stdout.slice(0, stdout.indexOf('\n')))
    })
    child.once('close', () => reject(new Error(`it ended without a line: ${stderr}`)))
  })
  // Who looks only at the end does not wait for a line.
  firstLine.catch(() => undefined)
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }))
  return {
    firstLine,
    ended,
    stop: (signal) => {
      child.kill(signal)
      return ended
    },
  }
}

export function runSoma(words: readonly string[], options: { cwd: string; env?: Record<string, string> }): Promise<Ended> {
  return startSoma(words, options).ended
}
