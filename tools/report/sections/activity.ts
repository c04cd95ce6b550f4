import type { z } from 'zod'
import { bytes, count, counted, date } from '../amounts.ts'
import { bar } from '../charts/bars.ts'
import { commitColumns } from '../charts/commitColumns.ts'
import { punchCard } from '../charts/punchCard.ts'
import { ActivityOutput, type Facts, outputOf } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { figures, note, notMade, path, type Section, table } from '../parts.ts'

export function activity(facts: Facts): Section {
  const output = outputOf(facts, 'activity', ActivityOutput)
  return { id: 'activity', title: 'Activity', body: output ? shown(output) : notMade(facts, 'activity') }
}

function shown({ activity: seen, churn }: z.infer<typeof ActivityOutput>): Html {
  if (seen.coverage.commits === 0) return note('There are no commits yet.')
  const most = Math.max(1, ...seen.authors.map(({ commits }) => commits))
  return html`${figures([
    ['Commits', count(seen.coverage.commits)],
    ['People', count(seen.authorCount)],
    ['Lines added', count(seen.additions)],
    ['Lines removed', count(seen.deletions)],
    ['Last commit', date(seen.lastAt)],
  ])}
${seen.coverage.truncated && note(`Only the newest ${counted(seen.coverage.commits, 'commit')} were read.`)}
${commitColumns(seen.weeks)}
<div class="pair">${punchCard(seen.punchCard)}
<div>${table(
    'People with the most commits',
    [
      { title: 'Name', cell: ({ name }) => name },
      { title: 'Commits', cell: ({ commits }) => html`${count(commits)} ${bar(commits / most)}`, number: true },
      { title: 'Last', cell: ({ lastAt }) => date(lastAt), spare: true },
    ],
    seen.authors,
    8,
  )}</div></div>
${table(
  'Files that change most, weighed by their size',
  [
    { title: 'File', cell: (file) => path(file.path) },
    { title: 'Changes', cell: ({ changes }) => count(changes), number: true },
    { title: 'Size', cell: ({ size }) => bytes(size), number: true, spare: true },
    { title: 'Heat', cell: ({ score }) => bar(score), spare: true },
  ],
  churn.hotSpots,
  10,
)}`
}
