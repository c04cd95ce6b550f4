import type { z } from 'zod'
import { bytes, count, counted, date, seconds } from '../amounts.ts'
import { type Facts, outputOf, SecretsOutput } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { badge, figures, note, notMade, path, type Section, table } from '../parts.ts'

export function secrets(facts: Facts): Section {
  const output = outputOf(facts, 'secrets', SecretsOutput)
  return { id: 'secrets', title: 'Secrets', body: output ? shown(output) : notMade(facts, 'secrets') }
}

function shown({ totals, coverage, findings }: z.infer<typeof SecretsOutput>): Html {
  return html`${figures([
    ['In the tree', count(totals.atHead)],
    ['Only in history', count(totals.onlyInHistory)],
    ['Looked at', bytes(coverage.bytes)],
    [
      'Commits covered',
      coverage.history ? html`${count(coverage.commits.covered)} <small>of ${count(coverage.commits.total)}</small>` : 'tree only',
    ],
  ])}
${coverage.history && !coverage.complete && note('History was read only in part within the time given; give more with history_seconds.')}
${coverage.shallow && note('The clone is shallow: secrets may be in older history that is not here.')}
${table(
  'Secrets found, masked',
  [
    { title: 'Severity', cell: ({ severity }) => badge(severity) },
    { title: 'What', prose: true, cell: ({ message, masked }) => html`${message} <code>${masked}</code>` },
    { title: 'Where', cell: ({ path: at, line }) => path(at, line) },
    {
      title: 'Since',
      cell: ({ firstAt, firstCommit, atHead }) =>
        html`${date(firstAt ?? undefined)}${firstCommit !== null && html` <code>${firstCommit.slice(0, 10)}</code>`}${!atHead && html` <span class="quiet">removed since</span>`}`,
      spare: true,
    },
  ],
  findings,
  100,
)}
<p class="quiet">${counted(coverage.scanned, 'file version')} in ${seconds(coverage.seconds)}. Not looked at: ${count(coverage.skipped.binary)} binary, ${count(coverage.skipped.tooLarge)} too large, ${count(coverage.skipped.missing)} not in this clone. A secret itself is never kept: what is shown is its beginning.</p>`
}
