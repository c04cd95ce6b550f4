import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { ClientConfig } from 'pg'

/** Where the one PostgreSQL is, and the database of one system on it. */
export type Connection = Required<Pick<ClientConfig, 'host' | 'port' | 'user' | 'password' | 'database'>> & {
  host: string
  password: string
}

interface Call {
  id: number
  method: string
  parameters: unknown
}
type Answer = { id: number; result: unknown } | { id: number; error: string }

/** What a child process answers to. */
// biome-ignore lint/suspicious/noExplicitAny: each method takes parameters of its own; `Child` below types them for the caller
export type Methods = Record<string, (parameters: any) => Promise<unknown>>

export interface Child<Served extends Methods> {
  call<Name extends keyof Served & string>(
    method: Name,
    parameters: Parameters<Served[Name]>[0],
  ): Promise<Awaited<ReturnType<Served[Name]>>>
  stop(): Promise<void>
}

/** Memory of a process, in MB. */
export interface Memory {
  now: number
  most: number
}

/**
 * Starts a process that serves methods, so that systems under measurement do not share an event loop or a heap.
 * @param file relative to this folder
 */
export function startChild<Served extends Methods>(file: string, parameters: unknown): Child<Served> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(parameters)], {
    execArgv: ['--import', 'tsx', ...(process.env.BENCH_NODE_OPTIONS?.split(' ') ?? [])],
    // What a peer prints is not the benchmark's output.
    stdio: ['ignore', 2, 2, 'ipc'],
  })
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let lastId = 0
  let ended: Error | undefined
  const over = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = new Error(`${file} ended with ${signal ?? code}; what it printed says why.`)
      for (const { reject } of waiting.values()) reject(ended)
      resolve()
    })
  })
  child.on('message', (answer: Answer) => {
    const caller = waiting.get(answer.id)
    waiting.delete(answer.id)
    if ('error' in answer) caller?.reject(new Error(answer.error))
    else caller?.resolve(answer.result)
  })
  return {
    call: (method, parameters) =>
      new Promise((resolve, reject) => {
        if (ended) return reject(ended)
        const id = ++lastId
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
        child.send({ id, method, parameters } satisfies Call)
      }),
    async stop() {
      if (child.connected) child.disconnect()
      const killer = setTimeout(() => child.kill('SIGKILL'), 15_000)
      await over
      clearTimeout(killer)
    },
  }
}

/** The child's side: answers calls until the parent lets go, then closes. */
export function serve(methods: Methods, close: () => Promise<void>): void {
  process.on('message', ({ id, method, parameters }: Call) => {
    Promise.resolve(methods[method]?.(parameters)).then(
      (result) => process.send?.({ id, result } satisfies Answer),
      (error) => process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) } satisfies Answer),
    )
  })
  process.once('disconnect', () => void close().finally(() => process.exit()))
}

export function parametersOfChild<Parameters>(): Parameters {
  return JSON.parse(process.argv[2] as string) as Parameters
}

export async function memory(): Promise<Memory> {
  const megabytes = (bytes: number) => Math.round(bytes / 2 ** 20)
  return { now: megabytes(process.memoryUsage.rss()), most: megabytes(process.resourceUsage().maxRSS * 1024) }
}

export function urlOf({ host, port, user, password, database }: Connection): string {
  return `postgresql://${user}:${encodeURIComponent(password)}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`
}
