import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { stat } from 'node:fs/promises'
import { constants } from 'node:os'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SomaError } from '@soma/contracts/errors'

export interface ProcessOptions {
  cwd?: string
  /** Written to standard input, which is then closed. */
  input?: string | Uint8Array | AsyncIterable<string | Uint8Array>
  /** On abort the whole process group ends and the call throws the signal's reason. */
  signal?: AbortSignal
  /** Added to PATH, HOME and TMPDIR. Nothing else is inherited, so no secret of the platform leaks. */
  env?: Record<string, string>
  /** Most bytes of standard output. Default 32 MiB. */
  maxBytes?: number
}

export interface ProcessResult {
  stdout: Buffer
  /** Its first 64 KiB. */
  stderr: string
  /** As a shell would give it: 128 + n for a process that signal n ended. */
  exitCode: number
}

const MAX_STDOUT = 32 * 1024 * 1024
const MAX_STDERR = 64 * 1024
const GRACE_MILLISECONDS = 2_000
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'SystemRoot', 'TEMP']

/**
 * Runs a program without a shell and waits for it. A non-zero exit is an answer, not an error.
 * @throws tool_unavailable when the program is not on PATH; tool_failed when it writes more than `maxBytes`
 */
export async function runProcess(program: string, args: string[], options: ProcessOptions = {}): Promise<ProcessResult> {
  const running = await start(program, args, options)
  const maxBytes = options.maxBytes ?? MAX_STDOUT
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of running.stdout) {
      size += chunk.length
      if (size > maxBytes) {
        throw new SomaError('tool_failed', `${program} wrote more than ${maxBytes} bytes. Ask for less at a time.`, { program, maxBytes })
      }
      chunks.push(chunk)
    }
    const exitCode = await running.ended()
    return { stdout: Buffer.concat(chunks), stderr: running.stderr(), exitCode }
  } finally {
    await running.stop()
  }
}

/**
 * Runs a program and hands over its standard output as it comes. The program waits while the consumer does, and ends when the
 * consumer stops early. `maxBytes` does not apply.
 * @throws tool_failed when the program exits non-zero
 */
export async function* streamProcess(program: string, args: string[], options: ProcessOptions = {}): AsyncGenerator<Buffer, void, void> {
  const running = await start(program, args, options)
  try {
    yield* running.stdout
    const exitCode = await running.ended()
    if (exitCode !== 0) throw processFailed(program, args, { exitCode, stderr: running.stderr() })
  } finally {
    await running.stop()
  }
}

/** What a failed program said, as an error with its last words. */
export function processFailed(program: string, args: string[], result: { exitCode: number; stderr: string }): SomaError {
  const said = result.stderr.trim().slice(-2_000) || 'It said nothing.'
  return new SomaError('tool_failed', `${program} ended with exit code ${result.exitCode}: ${said}`, {
    program,
    arguments: args.slice(0, 20),
    exitCode: result.exitCode,
  })
}

interface Running {
  stdout: AsyncIterable<Buffer>
  stderr(): string
  /** The exit code, once all output is read. Throws the reason when aborted, and what the input threw. */
  ended(): Promise<number>
  /** Ends the group if it still runs, and waits until it has. */
  stop(): Promise<void>
}

async function start(program: string, args: string[], options: ProcessOptions): Promise<Running> {
  options.signal?.throwIfAborted()
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...inheritedEnvironment(), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: process.platform !== 'win32', // a group of its own, so that its children end with it
    windowsHide: true,
  })
  let over = false
  const closed = closing(child).finally(() => {
    over = true
  })
  const stderr: Buffer[] = []
  let stderrSize = 0
  child.stderr.on('data', (chunk: Buffer) => {
    if (stderrSize < MAX_STDERR) stderr.push(chunk.subarray(0, MAX_STDERR - stderrSize))
    stderrSize += chunk.length
  })
  try {
    await once(child, 'spawn')
  } catch (cause) {
    throw await couldNotStart(program, options.cwd, cause)
  }

  const abort = () => {
    if (!over) endGroup(child, closed)
  }
  options.signal?.addEventListener('abort', abort, { once: true })
  if (options.signal?.aborted) abort()
  const fed = feed(child, options.input)

  return {
    stdout: child.stdout,
    stderr: () => Buffer.concat(stderr).toString('utf8'),
    async ended() {
      const exitCode = await closed
      options.signal?.throwIfAborted()
      await fed
      return exitCode
    },
    async stop() {
      options.signal?.removeEventListener('abort', abort)
      child.stdin.destroy()
      child.stdout.destroy()
      abort()
      await closed
      await fed.catch(() => {}) // ended() reported it, or the consumer stopped and no longer asks
    },
  }
}

function closing(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
}

function feed(child: ChildProcessWithoutNullStreams, input: ProcessOptions['input']): Promise<void> {
  const source = typeof input === 'string' || input instanceof Uint8Array ? [input] : (input ?? [])
  const fed = pipeline(Readable.from(source, { objectMode: true }), child.stdin).catch((error: NodeJS.ErrnoException) => {
    // A program need not read its input to the end; its exit code says whether that was wrong.
    if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  })
  fed.catch(() => {}) // looked at in ended(); until then it must not count as unhandled
  return fed
}

/** Asks the group to end, so that it can remove its lock files, and makes it after two seconds. */
function endGroup(child: ChildProcess, closed: Promise<number>): void {
  const send = (signal: NodeJS.Signals) => {
    if (child.pid === undefined) return
    try {
      if (process.platform === 'win32') child.kill(signal)
      else process.kill(-child.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  send('SIGTERM')
  const timer = setTimeout(() => send('SIGKILL'), GRACE_MILLISECONDS)
  closed.then(() => clearTimeout(timer))
}

function inheritedEnvironment(): Record<string, string> {
  return Object.fromEntries(INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])))
}

async function couldNotStart(program: string, cwd: string | undefined, cause: unknown): Promise<SomaError> {
  const code = (cause as NodeJS.ErrnoException).code
  if (cwd !== undefined && !(await stat(cwd).catch(() => undefined))?.isDirectory()) {
    return new SomaError('invalid_input', `The folder "${cwd}" to run ${program} in does not exist.`, { program, cwd }, { cause })
  }
  if (code === 'ENOENT' || code === 'EACCES') {
    return new SomaError(
      'tool_unavailable',
      `The program "${program}" is not on this machine's PATH, or may not be run. Install ${program} and start the platform again.`,
      { program },
      { cause },
    )
  }
  return new SomaError('tool_failed', `${program} could not be started: ${String(cause)}`, { program }, { cause })
}
