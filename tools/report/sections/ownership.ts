import type { z } from 'zod'
import { count, counted, date, percent } from '../amounts.ts'
import { stackedBar } from '../charts/bars.ts'
import { type Facts, OwnershipOutput, outputOf } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { figures, note, notMade, path, type Section, table } from '../parts.ts'

export function ownership(facts: Facts): Section {
  const output = outputOf(facts, 'ownership', OwnershipOutput)
  return { id: 'ownership', title: 'Who knows what', short: 'Ownership', body: output ? shown(output) : notMade(facts, 'ownership') }
}

function shown({ whole, folders, atRisk, asOf }: z.infer<typeof OwnershipOutput>): Html {
  if (whole.holderCount === 0) return note('Nobody is known to have written anything yet.')
  return html`${figures([
    ['Bus factor', count(whole.busFactor)],
    ['People', count(whole.holderCount)],
    ['Folders at risk', count(atRisk.length)],
  ])}
<p class="quiet">The bus factor is the fewest people who together hold half of what is known. Lines count for whoever wrote them, half for each year that has passed. A folder is at risk when its only holder has been away for half a year, counted to ${date(asOf)}.</p>
${stackedBar(
  whole.holders.map(({ name, share }) => ({ name, share, color: null })),
  percent,
)}
${table(
  'Folders and who knows them',
  [
    { title: 'Folder', cell: ({ folder }) => path(folder === '.' ? './' : `${folder}/`) },
    { title: 'Files', cell: ({ files }) => count(files), number: true, spare: true },
    {
      title: 'Bus factor',
      cell: ({ busFactor, atRisk: isAtRisk }) => html`${count(busFactor)}${isAtRisk && html` <span class="badge high">at risk</span>`}`,
      number: true,
    },
    {
      title: 'Knows most',
      cell: ({ holders: [first] }) =>
        first && html`${first.name} <span class="quiet">${percent(first.share)}${first.away && ', away'}</span>`,
    },
  ],
  folders,
  25,
)}
${
  whole.holders.some(({ away }) => away) &&
  html`<p class="quiet">Away: ${whole.holders
    .filter(({ away }) => away)
    .map(({ name, lastAt }) => `${name} since ${date(lastAt)}`)
    .join(', ')}.</p>`
}
<p class="quiet">${counted(folders.length, 'folder')} at the top of the repository.</p>`
}
