import { startChild } from '../child.ts'
import { median } from '../statistics.ts'
import type { LedgerMethods } from '../systems/ledger-process.ts'
import type { Scenario } from './scenario.ts'

/** Entries that `soma audit verify FILE` verifies in a second of one core, beside the hashes that it must make of them alone. */
export const ledger: Scenario = async ({ rounds, quick, say }) => {
  const child = startChild<LedgerMethods>('systems/ledger-process.ts', { entries: quick ? 20_000 : 100_000 })
  const verified: number[] = []
  const floor: number[] = []
  try {
    await child.call('verify', undefined)
    await child.call('floor', undefined)
    for (let round = 1; round <= rounds; round++) {
      say(`ledger: round ${round} of ${rounds}`)
      verified.push(await child.call('verify', undefined))
      floor.push(await child.call('floor', undefined))
    }
    const memory = await child.call('memory', undefined)
    const ratio = median(verified.map((rate, round) => rate / (floor[round] as number)))
    const perSecond = median(verified)
    return {
      tables: [
        {
          title: 'Verification of an export, one core',
          columns: ['', 'entries/s', '× hashes alone', 'memory MB'],
          rows: [
            ['four SHA-256 an entry, nothing else', median(floor), 1, ''],
            ['read from a file and verified', perSecond, ratio, memory.most],
          ],
        },
      ],
      goals: [{ says: 'over 50,000 entries/s verified on one core', measured: perSecond, met: perSecond > 50_000 }],
      measured: { verified, floor, memory },
    }
  } finally {
    await child.stop()
  }
}
