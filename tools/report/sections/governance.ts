import { count, dollars, percent, seconds } from '../amounts.ts'
import { bar } from '../charts/bars.ts'
import type { Facts, Made } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { figures, note, type Section, table } from '../parts.ts'

const VERDICTS: Record<string, { tone: string; text: string }> = {
  approved: { tone: 'good', text: 'Approved: the project kept to the constitution and its budget.' },
  needs_revision: { tone: 'fair', text: 'Needs revision: something that was asked for was not made.' },
  blocked: { tone: 'poor', text: 'Blocked: the project did not keep to the constitution or its budget.' },
}

const AMOUNTS = [
  ['calls', 'Calls', count],
  ['seconds', 'Time of calls', seconds],
  ['tokens', 'Tokens', count],
  ['costMicros', 'Money', dollars],
] as const

/** What the review said, what policy decided, who approved, and what it cost. */
export function governance(facts: Facts): Section {
  const { review, decisions, approvals } = facts
  const verdict = review && (VERDICTS[review.verdict] ?? { tone: 'plain', text: review.verdict })
  const body = html`${verdict ? html`<p class="verdict ${verdict.tone}">${verdict.text}</p>` : note('The project was not reviewed.')}
${figures([
  ['Compliance', review ? percent(review.compliance) : 'not known'],
  ['Over budget by', review ? percent(review.budgetVariance) : 'not known'],
  ['Decisions', count(decisions.total)],
  ['Carried out', count(decisions.allowed)],
  ['Refused', count(decisions.denied)],
])}
${review && review.notes.length > 0 && html`<ul class="notes">${review.notes.slice(0, 30).map((text) => html`<li>${text}</li>`)}</ul>`}
${budget(facts)}
${table(
  'Approvals',
  [
    { title: 'For', cell: ({ deliverable, action }) => deliverable ?? action },
    { title: 'Action', cell: ({ action }) => html`<code>${action}</code>`, spare: true },
    { title: 'Status', cell: ({ status }) => status },
    { title: 'By', cell: ({ decidedBy }) => decidedBy ?? '—' },
  ],
  approvals,
)}
${table(
  'What each deliverable cost',
  [
    { title: 'Deliverable', cell: ({ title }) => title },
    { title: 'Calls', cell: ({ spent }) => count(spent.calls ?? 0), number: true },
    { title: 'Time of calls', cell: ({ spent }) => seconds(spent.seconds ?? 0), number: true },
    { title: 'Tokens', cell: ({ spent }) => count(spent.tokens ?? 0), number: true, spare: true },
    { title: 'Money', cell: ({ spent }) => dollars(spent.costMicros ?? 0), number: true, spare: true },
  ] satisfies Parameters<typeof table<Made>>[1],
  facts.deliverables,
)}`
  return { id: 'governance', title: 'Governance and cost', short: 'Governance', body }
}

function budget({ budget: { limit, spent } }: Facts): Html {
  return html`<ul class="areas budget" aria-label="Use of the budget">${AMOUNTS.map(([key, name, written]) => {
    const used = spent[key] ?? 0
    const allowed = limit[key]
    if (used === 0 && !allowed) return undefined
    if (allowed === undefined) return html`<li><span>${name}</span><span class="quiet">no limit</span><b>${written(used)}</b></li>`
    const share = allowed === 0 ? (used > 0 ? 1 : 0) : used / allowed
    return html`<li><span>${name}</span>${bar(share, share > 1 ? 'poor' : 'accent')}<b>${written(used)} <small>of ${written(allowed)}</small></b></li>`
  })}</ul>`
}
