import { Agent, get } from 'node:http'
import { startChild } from '../child.ts'
import { median, quantile } from '../statistics.ts'
import type { GateMethods } from '../systems/gate-process.ts'
import type { Scenario } from './scenario.ts'

/**
 * What the gate adds to a request: the default constitution and 100 rules that all apply, decisions on their way to the ledger.
 * Requests to the two routes alternate in blocks; client and server are processes of their own, on one connection that stays open.
 */
export const gate: Scenario = async ({ postgres, rounds, quick, say }) => {
  const child = startChild<GateMethods>('systems/gate-process.ts', { connection: await postgres.database('gate') })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const blocks = { without: [] as number[][], behind: [] as number[][] }
  const blocksARound = quick ? 2 : 4
  const requests = quick ? 100 : 400
  let asked = 0
  try {
    const { url, token } = await child.call('listen', undefined)
    const withoutGate = () => request(agent, `${url}/health`)
    const behindGate = () => {
      asked++
      return request(agent, `${url}/v1/bench/gated`, token)
    }
    await block(withoutGate, 500)
    await block(behindGate, 500)
    await child.call('takeGateTimes', undefined)
    for (let round = 1; round <= rounds; round++) {
      say(`gate: round ${round} of ${rounds}`)
      for (let index = 0; index < blocksARound; index++) {
        blocks.without.push(await block(withoutGate, requests))
        blocks.behind.push(await block(behindGate, requests))
      }
    }
    const gateTimes = await child.call('takeGateTimes', undefined)
    const recorded = await child.call('recorded', undefined)
    if (recorded !== asked) throw new Error(`${recorded} of ${asked} decisions are in the ledger`)
    const [without, behind] = [blocks.without.flat(), blocks.behind.flat()]
    const added = (share: number) =>
      median(blocks.behind.map((times, index) => quantile(times, share) - quantile(blocks.without[index] as number[], share)))
    const atP99 = quantile(gateTimes, 0.99)
    return {
      tables: [
        {
          title: 'A request without and behind the gate',
          columns: ['', 'p50 ms', 'p99 ms'],
          rows: [
            ['/health, which is public', quantile(without, 0.5), quantile(without, 0.99)],
            ['a route as small, with a token, behind the gate', quantile(behind, 0.5), quantile(behind, 0.99)],
            ['added, of neighbouring blocks', added(0.5), added(0.99)],
            ['of which the gate itself', quantile(gateTimes, 0.5), atP99],
          ],
        },
      ],
      goals: [{ says: 'the gate under 1 ms at p99', measured: atP99, met: atP99 < 1 }],
      measured: {
        blocks: { without: blocks.without.map(summary), behind: blocks.behind.map(summary) },
        gate: summary(gateTimes),
        memory: await child.call('memory', undefined),
      },
    }
  } finally {
    agent.destroy()
    await child.stop()
  }
}

const summary = (times: readonly number[]) => ({ count: times.length, p50: quantile(times, 0.5), p99: quantile(times, 0.99) })

async function block(ask: () => Promise<void>, count: number): Promise<number[]> {
  const milliseconds: number[] = []
  for (let index = 0; index < count; index++) {
    const before = performance.now()
    await ask()
    milliseconds.push(performance.now() - before)
  }
  return milliseconds
}

function request(agent: Agent, url: string, token?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
    get(url, { agent, headers }, (response) => {
      response.resume()
      response.on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`${url} answered ${response.statusCode}`))))
    }).on('error', reject)
  })
}
