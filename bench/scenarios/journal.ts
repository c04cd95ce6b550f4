import { startChild } from '../child.ts'
import { median } from '../statistics.ts'
import type { JournalMethods } from '../systems/journal-process.ts'
import type { Scenario } from './scenario.ts'

const RUNS = 1000

/** Appends a second with 1,000 runs at once, seven each, beside the same rows in bare grouped INSERTs. */
export const journal: Scenario = async ({ postgres, rounds, quick, say }) => {
  const child = startChild<JournalMethods>('systems/journal-process.ts', { connection: await postgres.database('journal') })
  const appends: number[] = []
  const floor: number[] = []
  try {
    for (let warmUp = 0; warmUp < (quick ? 1 : 4); warmUp++) {
      await child.call('appends', RUNS)
      await child.call('floor', RUNS)
    }
    for (let round = 1; round <= rounds; round++) {
      say(`journal: round ${round} of ${rounds}`)
      appends.push(await child.call('appends', RUNS))
      floor.push(await child.call('floor', RUNS))
    }
    const memory = await child.call('memory', undefined)
    const ratio = median(appends.map((rate, round) => rate / (floor[round] as number)))
    const perSecond = median(appends)
    return {
      tables: [
        {
          title: 'Journal appends, 1,000 runs at once',
          columns: ['', 'entries/s', '× grouped INSERT', 'memory MB'],
          rows: [
            ['grouped INSERT, rows made beforehand', median(floor), 1, ''],
            ['journal: chained, confirmed one by one', perSecond, ratio, memory.most],
          ],
        },
      ],
      goals: [{ says: 'over 30,000 appends/s with 1,000 runs at once', measured: perSecond, met: perSecond > 30_000 }],
      measured: { appends, floor, memory },
    }
  } finally {
    await child.stop()
  }
}
