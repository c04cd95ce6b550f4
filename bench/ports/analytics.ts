import type { Prepare } from './port.ts'

const ROWS = 50_000
const KINDS = 20

/** The figures of 50,000 rows are added up by kind. */
export const prepareAnalytics: Prepare<'analytics'> = async (analytics) => {
  await analytics.command('CREATE TABLE bench (at DateTime64(3), kind String, amount Float64) ENGINE = MergeTree ORDER BY (kind, at)')
  const start = Date.UTC(2026, 0, 1)
  const rows = Array.from({ length: ROWS }, (_, number) => ({
    at: new Date(start + number * 1000).toISOString(),
    kind: `kind-${number % KINDS}`,
    amount: 1,
  }))
  await analytics.insert('bench', rows)
  return {
    async one() {
      const sums = await analytics.query<{ kind: string; amount: number }>(
        'SELECT kind, sum(amount) AS amount FROM bench WHERE at >= {from:DateTime64(3)} GROUP BY kind ORDER BY kind',
        { from: new Date(start) },
      )
      const sum = sums.reduce((total, { amount }) => total + amount, 0)
      if (sums.length !== KINDS || sum !== ROWS) throw new Error(`${sums.length} kinds add up to ${sum}`)
    },
  }
}
