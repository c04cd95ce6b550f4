import type { BudgetAmount } from '@soma/contracts/budget'
import { answerOf } from '@soma/sdk/client'
import type { Configure } from '../session.ts'
import { money, table } from '../text.ts'

const AMOUNTS = ['calls', 'tokens', 'costMicros', 'seconds'] as const

const configure: Configure = (command, session) => {
  command
    .option('--limit <number>', 'How many', Number, 50)
    .addHelpText('after', '\nSpent of limit; what is reserved counts until its call is settled.\n')
    .action(async ({ limit }: { limit: number }) => {
      const { client } = await session.connect()
      const page = await answerOf(client.GET('/v1/budgets', { params: { query: { limit } } }))
      const rows = page.items.map(({ id, limit: most, spent, reserved }) => [
        ...AMOUNTS.map((amount) => shown(amount, { most, spent, reserved })),
        id,
      ])
      // The longest comes last, where it may be cut.
      const head = ['calls', 'tokens', 'cost', 'seconds', 'budget']
      session.terminal.answer(page.items, rows.length > 0 ? table([head, ...rows], session.terminal.width) : 'There are no budgets yet.')
    })
}
export default configure

type Amount = (typeof AMOUNTS)[number]

function shown(amount: Amount, { most, spent, reserved }: Record<'most' | 'spent' | 'reserved', BudgetAmount>): string {
  const write = (value: number) => (amount === 'costMicros' ? money(value) : value.toLocaleString('en', { maximumFractionDigits: 1 }))
  const held = reserved[amount] ? `+${write(reserved[amount])}` : ''
  return `${write(spent[amount] ?? 0)}${held}${most[amount] === undefined ? '' : `/${write(most[amount])}`}`
}
