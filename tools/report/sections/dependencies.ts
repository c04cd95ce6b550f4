import type { z } from 'zod'
import { count, counted } from '../amounts.ts'
import { stackedBar } from '../charts/bars.ts'
import { DependenciesOutput, type Facts, LicencesOutput, outputOf } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { badge, figures, findings, note, notMade, path, type Section, table } from '../parts.ts'

const GROUP_COLORS: Record<string, string> = {
  permissive: '#2f9e6e',
  'weak-copyleft': '#4c7fd9',
  'strong-copyleft': '#d9822b',
  'network-copyleft': '#c2410c',
  proprietary: '#a8325e',
  unknown: '#8a94a3',
}

export function dependencies(facts: Facts): Section {
  const found = outputOf(facts, 'dependencies', DependenciesOutput)
  const judged = outputOf(facts, 'licences', LicencesOutput)
  return {
    id: 'dependencies',
    title: 'Dependencies and licences',
    short: 'Dependencies',
    body: html`${found ? list(found) : notMade(facts, 'dependencies')}
<h3 id="licences">Licences</h3>
${judged ? licences(judged) : notMade(facts, 'licences')}`,
  }
}

function list({ totals, lockFiles, manifests, problems }: z.infer<typeof DependenciesOutput>): Html {
  if (lockFiles.length + manifests.length === 0) return note('No lock file or manifest was found.')
  const uncovered = manifests.filter(({ lockFile }) => lockFile === null)
  return html`${figures([
    ['Dependencies', count(totals.dependencies)],
    ['Direct', count(totals.direct)],
    ['Only for development', count(totals.dev)],
    ['Without a digest', count(totals.withoutIntegrity)],
  ])}
${table(
  'Lock files',
  [
    { title: 'File', cell: (file) => path(file.path) },
    {
      title: 'Format',
      cell: ({ format, readable }) => html`${format}${!readable && html` <span class="badge high">unreadable</span>`}`,
      spare: true,
    },
    { title: 'Dependencies', cell: (file) => count(file.dependencies), number: true },
    { title: 'Direct', cell: ({ direct }) => count(direct), number: true, spare: true },
    { title: 'Without a digest', cell: ({ withoutIntegrity }) => count(withoutIntegrity), number: true },
  ],
  lockFiles,
  20,
)}
${uncovered.length > 0 && html`<details><summary>${counted(uncovered.length, 'manifest')} without a lock file</summary><p class="evidence">${uncovered.slice(0, 50).map((manifest) => html`${path(manifest.path)} `)}</p></details>`}
${findings('What is wrong with them', problems, 20)}`
}

function licences({ repository, totals, groups, conflicts, unclear }: z.infer<typeof LicencesOutput>): Html {
  const used = groups.filter((group) => group.dependencies > 0)
  const whole = Math.max(1, totals.dependencies)
  return html`<p>${repository.expression === null ? 'The repository states no licence that is known.' : html`The repository is under <b>${repository.expression}</b> (${repository.group}).`}${repository.disagreement && ' Its files state different licences.'}</p>
${
  used.length > 0 &&
  html`${stackedBar(
    used.map(({ group, dependencies: share }) => ({ name: group, share: share / whole, color: GROUP_COLORS[group] ?? null })),
    (share) => count(Math.round(share * whole)),
  )}
<details><summary>Licences by what they ask</summary>${table(
    'Licences by what they ask',
    [
      { title: 'Group', cell: ({ group }) => group },
      { title: 'Dependencies', cell: (group) => count(group.dependencies), number: true },
      {
        title: 'Most used',
        cell: (group) =>
          group.licences
            .slice(0, 6)
            .map(({ expression, dependencies: number }) => `${expression} (${count(number)})`)
            .join(', '),
      },
    ],
    used,
  )}</details>`
}
${table(
  "Licences that do not go with the repository's",
  [
    { title: 'Severity', cell: ({ severity }) => badge(severity) },
    { title: 'Dependency', cell: ({ name, version }) => html`<code>${name}${version !== null && ` ${version}`}</code>` },
    { title: 'Licence', cell: ({ expression }) => expression },
    { title: 'Why', prose: true, cell: ({ reason, advice }) => html`${reason} <span class="quiet">${advice}</span>` },
  ],
  conflicts,
  30,
)}
${
  unclear.length > 0 &&
  html`<details><summary>${counted(totals.unknown, 'dependency', 'dependencies')} whose licence is not known</summary>${table(
    'Licence not known',
    [
      { title: 'Dependency', cell: ({ name, version }) => html`<code>${name}${version !== null && ` ${version}`}</code>` },
      { title: 'Ecosystem', cell: ({ ecosystem }) => ecosystem, spare: true },
      { title: 'Stated', cell: ({ stated }) => stated ?? 'nothing' },
    ],
    unclear,
    40,
  )}</details>`
}`
}
