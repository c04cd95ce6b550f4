import type { z } from 'zod'
import { bytes, count, counted, date, percent } from '../amounts.ts'
import { stackedBar } from '../charts/bars.ts'
import { type Facts, InventoryOutput, outputOf } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { figures, note, notMade, path, type Section, table } from '../parts.ts'

export function inventory(facts: Facts): Section {
  const output = outputOf(facts, 'inventory', InventoryOutput)
  return { id: 'inventory', title: 'Inventory', body: output ? shown(output) : notMade(facts, 'inventory') }
}

function shown({ repository, languages }: z.infer<typeof InventoryOutput>): Html {
  if (repository.empty) return note('The repository has no commits yet.')
  const { totals, tests, excluded, binary } = languages
  const programmed = languages.languages.filter(({ share }) => share > 0)
  return html`${figures([
    ['Files', count(repository.files)],
    ['Size', bytes(repository.bytes)],
    ['Lines of code', count(totals.code)],
    ['Tests', html`${percent(tests.share)} <small>of the lines</small>`],
    ['Commits', count(repository.commits)],
    ['Branches', count(repository.branches)],
  ])}
${repository.shallow && note('This is a shallow clone: history before its edge is not there to be read.')}
${programmed.length > 0 && stackedBar(programmed, percent)}
${table(
  'Languages',
  [
    { title: 'Language', cell: ({ name }) => name },
    { title: 'Kind', cell: ({ type }) => type, spare: true },
    { title: 'Files', cell: ({ files }) => count(files), number: true },
    { title: 'Lines', cell: ({ lines }) => count(lines), number: true },
    { title: 'Size', cell: ({ bytes: size }) => bytes(size), number: true, spare: true },
  ],
  languages.languages,
  15,
)}
<p class="quiet">Counted apart: ${counted(excluded.generated.files, 'generated file')} (${bytes(excluded.generated.bytes)}), ${counted(excluded.vendored.files, 'vendored file')} (${bytes(excluded.vendored.bytes)}), ${counted(excluded.documentation.files, 'documentation file')} (${bytes(excluded.documentation.bytes)}), ${counted(binary.files, 'binary file')} (${bytes(binary.bytes)}).</p>
<details><summary>Largest files</summary>${table(
    'Largest files',
    [
      { title: 'File', cell: (file) => path(file.path) },
      { title: 'Kind', cell: ({ binary: isBinary, language }) => (isBinary ? 'binary' : (language ?? 'text')), spare: true },
      { title: 'Size', cell: ({ bytes: size }) => bytes(size), number: true },
    ],
    languages.largest,
  )}</details>
${
  repository.submodules.length > 0 &&
  html`<details><summary>${counted(repository.submodules.length, 'submodule')}</summary>${table(
    'Submodules, which were not looked into',
    [
      { title: 'Path', cell: (module) => path(module.path) },
      { title: 'From', cell: ({ url }) => url ?? 'unknown' },
      { title: 'Commit', cell: ({ commit }) => html`<code>${commit.slice(0, 10)}</code>`, spare: true },
    ],
    repository.submodules,
  )}</details>`
}
${repository.first && repository.last && html`<p class="quiet">First commit ${date(repository.first.at)} by ${repository.first.author.name}; last ${date(repository.last.at)} by ${repository.last.author.name}: “${repository.last.subject}”.</p>`}`
}
