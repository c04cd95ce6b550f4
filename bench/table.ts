import type { Goal, Table } from './scenarios/scenario.ts'

export function printTable({ title, columns, rows }: Table): void {
  const cells = [columns, ...rows].map((row) => row.map(format))
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)))
  const print = (row: string[]) =>
    console.log(
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number))).join('  '),
    )
  console.log(`\n${title}`)
  cells.forEach((row, index) => {
    print(row)
    if (index === 0) console.log(widths.map((width) => '─'.repeat(width)).join('  '))
  })
}

export function printGoals(goals: readonly Goal[]): void {
  console.log('\nGoals')
  for (const { says, measured, met } of goals) console.log(`${met ? '✓' : '✗'} ${says}: ${format(measured)}`)
}

/** Three digits say all that such a measurement knows. */
function format(value: string | number): string {
  if (typeof value === 'string') return value
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en')
  return value.toPrecision(3)
}
