import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'

const ServerState = z.object({
  ports: z.record(z.string(), z.number().int()),
  secrets: z.record(z.string(), z.string()),
  processes: z.array(z.object({ name: z.string(), pid: z.number().int(), startedAt: z.string() })),
  /** As the server said it when it became ready. */
  version: z.string().optional(),
  env: z.record(z.string(), z.string()),
})
export type ServerState = z.infer<typeof ServerState>
const State = z.record(z.string(), ServerState)
/** What is known of each server of a stack: written after every change, so that any process can go on from it. */
export type State = z.infer<typeof State>

export async function readState(folder: string): Promise<State> {
  const text = await readFile(join(folder, 'state.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}'
    throw error
  })
  return State.parse(JSON.parse(text))
}

/** Keeps the state and, for the platform, `stack.env`. Both hold passwords, so only their owner may read them. */
export async function writeState(folder: string, state: State): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await replaceFile(join(folder, 'state.json'), `${JSON.stringify(state, null, 2)}\n`)
  const variables = Object.values(state).flatMap(({ env, processes }) => (processes.length > 0 ? Object.entries(env) : []))
  await replaceFile(join(folder, 'stack.env'), variables.map(([name, value]) => `${name}=${JSON.stringify(value)}\n`).join(''))
}

async function replaceFile(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}`
  await writeFile(draft, text, { mode: 0o600 })
  await rename(draft, path)
}
