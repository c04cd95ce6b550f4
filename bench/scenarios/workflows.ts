import { type Memory, startChild } from '../child.ts'
import { median, quantile } from '../statistics.ts'
import type { SystemMethods, SystemName } from '../systems/process.ts'
import type { Goal, Scenario, Table } from './scenario.ts'

const AT_ONCE = 50

interface Plan {
  name: SystemName
  title: string
  /** Runs of one round, 50 at a time. A slow system does fewer, so that all take about as long. */
  together: number
}

const SYSTEMS: readonly Plan[] = [
  { name: 'inserts', title: 'five bare INSERTs', together: 600 },
  { name: 'soma', title: 'journal engine', together: 2000 },
  { name: 'dbos', title: 'DBOS', together: 200 },
  { name: 'mastra', title: 'Mastra', together: 200 },
  { name: 'langgraph', title: 'LangGraph.js', together: 200 },
]
const PEERS = ['dbos', 'mastra', 'langgraph'] as const

interface Measured {
  /** Per round: milliseconds of each run alone. */
  alone: number[][]
  /** Per round: runs a second, 50 at a time. */
  together: number[]
  memory?: Memory
}

/** A workflow of five durable steps in sequence: alone, and 50 at a time. */
export const workflows: Scenario = async ({ postgres, rounds, quick, say }) => {
  const systems = []
  for (const plan of SYSTEMS) {
    const connection = await postgres.database(`workflows_${plan.name}`)
    const child = startChild<SystemMethods>('systems/process.ts', { name: plan.name, connection })
    const measured: Measured = { alone: [], together: [] }
    systems.push({ ...plan, child, measured })
  }
  try {
    for (const { child } of systems) await child.call('together', { count: quick ? 50 : 200, atOnce: AT_ONCE })
    for (let round = 1; round <= rounds; round++) {
      say(`workflows: round ${round} of ${rounds}`)
      for (const { child, measured } of systems) measured.alone.push(await child.call('alone', quick ? 10 : 30))
      for (const { child, measured, together } of systems) {
        measured.together.push(await child.call('together', { count: quick ? together / 4 : together, atOnce: AT_ONCE }))
      }
    }
    for (const { child, measured } of systems) measured.memory = await child.call('memory', undefined)
  } finally {
    await Promise.all(systems.map(({ child }) => child.stop()))
  }
  const measured = Object.fromEntries(systems.map(({ name, measured }) => [name, measured])) as Record<SystemName, Measured>
  return { tables: [tableOf(measured)], goals: goalsOf(measured), measured }
}

function tableOf(measured: Record<SystemName, Measured>): Table {
  return {
    title: 'A workflow of five durable steps',
    columns: ['', 'alone p50 ms', 'alone p99 ms', 'p50 × INSERTs', '50 at a time, runs/s', 'journal engine ×', 'memory MB'],
    rows: SYSTEMS.map(({ name, title }) => [
      title,
      quantile(measured[name].alone.flat(), 0.5),
      quantile(measured[name].alone.flat(), 0.99),
      ratioAlone(measured, name),
      median(measured[name].together),
      median(measured[name].together.map((rate, round) => (measured.soma.together[round] as number) / rate)),
      measured[name].memory?.most ?? Number.NaN,
    ]),
  }
}

function goalsOf(measured: Record<SystemName, Measured>): Goal[] {
  const alone = ratioAlone(measured, 'soma')
  const overBest = median(
    measured.soma.together.map((rate, round) => rate / Math.max(...PEERS.map((peer) => measured[peer].together[round] as number))),
  )
  return [
    { says: 'alone, p50 within 2 × of five bare INSERTs', measured: alone, met: alone <= 2 },
    { says: '50 at a time, at least 15 × the best peer', measured: overBest, met: overBest >= 15 },
  ]
}

/** Each round's ratio is of two measurements a moment apart; the median of them forgets rounds that something else disturbed. */
function ratioAlone(measured: Record<SystemName, Measured>, name: SystemName): number {
  return median(measured[name].alone.map((times, round) => quantile(times, 0.5) / quantile(measured.inserts.alone[round] as number[], 0.5)))
}
