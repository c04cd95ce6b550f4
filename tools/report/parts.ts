import { count, counted } from './amounts.ts'
import type { Facts, Finding } from './facts.ts'
import { type Html, html, type Part, visibleText } from './html.ts'

export interface Section {
  id: string
  title: string
  /** For the bar at the top, when the title is long. */
  short?: string
  body: Html
}

export interface Column<Row> {
  title: string
  cell(row: Row): Part
  /** Numbers stand to the right. */
  number?: true
  /** Left out on narrow screens. */
  spare?: true
  /** Sentences: on narrow screens the table's cells stand below each other. */
  prose?: true
}

/**
 * A table with its caption; rows beyond `most` are counted, not shown. On narrow screens cells stand below each other; that takes a table's
 * roles away from its elements, so they are written out.
 */
export function table<Row>(caption: string, columns: Column<Row>[], rows: readonly Row[], most = 50): Html {
  if (rows.length === 0) return html`<p class="quiet">${caption}: none.</p>`
  const isProse = columns.some(({ prose }) => prose)
  const kind = ({ number, spare }: Column<Row>) => [number && 'number', spare && 'spare'].filter(Boolean).join(' ')
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${caption}"><table role="table"${isProse && html` class="prose"`}>
<caption>${caption}</caption>
<thead role="rowgroup"><tr role="row">${columns.map((column) => html`<th scope="col" role="columnheader" class="${kind(column)}">${column.title}</th>`)}</tr></thead>
<tbody role="rowgroup">${rows.slice(0, most).map((row) => html`<tr role="row">${columns.map((column) => html`<td role="cell" class="${kind(column)}">${column.cell(row)}</td>`)}</tr>`)}</tbody>
</table></div>${rows.length > most && html`<p class="quiet">And ${count(rows.length - most)} more.</p>`}`
}

/** A path of the repository, which may be named as its authors liked. */
export function path(text: string, line?: number): Html {
  const segments = visibleText(line === undefined ? text : `${text}:${line}`).split(/(?<=\/)/)
  return html`<code>${segments.map((segment, index) => (index === 0 ? segment : html`<wbr>${segment}`))}</code>`
}

export function badge(severity: string): Html {
  const known = ['critical', 'high', 'medium', 'low'].includes(severity) ? severity : 'plain'
  return html`<span class="badge ${known}">${severity}</span>`
}

/** Numbers that say the most, side by side. */
export function figures(list: [string, Part][]): Html {
  return html`<dl class="figures">${list.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`
}

export function note(text: Part): Html {
  return html`<p class="note">${text}</p>`
}

/** Findings that want something done; facts that don't are folded away. */
export function findings(caption: string, list: readonly Finding[], most = 40): Html {
  const facts = list.filter(({ severity }) => severity === 'info')
  return html`${findingTable(
    caption,
    list.filter(({ severity }) => severity !== 'info'),
    most,
  )}
${facts.length > 0 && html`<details><summary>Good to know: ${counted(facts.length, 'fact')}</summary>${findingTable('Good to know', facts, most)}</details>`}`
}

function findingTable(caption: string, list: readonly Finding[], most: number): Html {
  return table(
    caption,
    [
      { title: 'Severity', cell: ({ severity }) => badge(severity) },
      { title: 'Where', cell: ({ path: at, line }) => path(at, line) },
      {
        title: 'What was found, and what to do',
        prose: true,
        cell: ({ message, advice }) => html`${message} <span class="quiet">${advice}</span>`,
      },
    ],
    list,
    most,
  )
}

/** What stands where a deliverable gave nothing that can be shown. */
export function notMade(facts: Facts, id: string): Html {
  const made = facts.deliverables.find((each) => each.id === id)
  if (!made) return note('The plan of this project has no such deliverable.')
  return note(
    made.status === 'done'
      ? 'It was made, but not in a shape that this report knows.'
      : html`Not made: ${statusName(made.status)}. ${made.message}`,
  )
}

const STATUS_NAMES: Record<string, string> = { awaiting_approval: 'awaiting approval' }

export function statusName(status: string): string {
  return STATUS_NAMES[status] ?? status
}
