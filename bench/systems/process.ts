import { type Connection, memory, parametersOfChild, serve } from '../child.ts'
import { timeTogether } from '../statistics.ts'
import { EXPECTED, type OpenSystem } from './system.ts'

/** Each library is loaded only in the process that measures it. */
const OPEN: Record<SystemName, () => Promise<OpenSystem>> = {
  inserts: async () => (await import('./floor.ts')).openFloor,
  soma: async () => (await import('./soma.ts')).openSoma,
  dbos: async () => (await import('./dbos.ts')).openDbos,
  mastra: async () => (await import('./mastra.ts')).openMastra,
  langgraph: async () => (await import('./langgraph.ts')).openLangGraph,
}
export type SystemName = 'inserts' | 'soma' | 'dbos' | 'mastra' | 'langgraph'

const { name, connection } = parametersOfChild<{ name: SystemName; connection: Connection }>()
const system = await (await OPEN[name]())(connection)
let lastId = 0

async function runOnce(): Promise<void> {
  const output = await system.runOnce(`run-${++lastId}`)
  if (output !== EXPECTED) throw new Error(`${name} gave ${output} instead of ${EXPECTED}`)
}

const methods = {
  /** Milliseconds of each of so many runs, one after the other. */
  async alone(count: number): Promise<number[]> {
    const milliseconds: number[] = []
    for (let index = 0; index < count; index++) milliseconds.push((await timeTogether(1, 1, runOnce)) * 1000)
    return milliseconds
  },
  /** Runs a second. */
  together: async ({ count, atOnce }: { count: number; atOnce: number }) => count / (await timeTogether(count, atOnce, runOnce)),
  memory,
}
export type SystemMethods = typeof methods

serve(methods, () => system.close())
