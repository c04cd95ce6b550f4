import { seconds } from '../amounts.ts'
import type { Facts, Made } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { type Section, statusName } from '../parts.ts'

const TONES: Record<string, string> = {
  done: 'good',
  failed: 'poor',
  blocked: 'poor',
  rejected: 'poor',
  awaiting_approval: 'fair',
  running: 'accent',
}

/** What was to be made, wave by wave, and what came of it. */
export function deliverables(facts: Facts): Section {
  const waves = [...new Set(facts.deliverables.map(({ wave }) => wave))].sort((a, b) => a - b)
  const body = html`${waves.map(
    (wave) => html`<h3 class="wave">Wave ${wave}</h3>
<ul class="deliverables">${facts.deliverables.filter((each) => each.wave === wave).map((each) => card(each, facts))}</ul>`,
  )}`
  return { id: 'deliverables', title: 'Deliverables', body }
}

function card(made: Made, facts: Facts): Html {
  return html`<li class="card ${TONES[made.status] ?? 'plain'}">
<p class="status">${statusName(made.status)}</p>
<h4>${made.title}</h4>
<p class="quiet">${[made.persona, tookSeconds(made), made.rounds > 0 ? `revised ${made.rounds} times` : undefined].filter(Boolean).join(' · ')}</p>
${explanation(made, facts)}
</li>`
}

function explanation(made: Made, { approvals }: Facts): Html | undefined {
  if (made.status === 'blocked') {
    const reasons = made.decision?.reasons ?? []
    return html`${reasons.length > 0 ? reasons.map(({ rule, text }) => html`<blockquote>${text} <span class="quiet">Rule ${rule}.</span></blockquote>`) : html`<blockquote>${made.message}</blockquote>`}
<p>It is kept in the queue and asked about again when the constitution changes.</p>`
  }
  if (made.status === 'awaiting_approval') {
    const pending = approvals.find(({ deliverable, status }) => deliverable === made.id && status === 'pending')
    return html`<blockquote>${made.message}</blockquote>${pending && html`<p>To approve it: <code>npx soma approve ${pending.id}</code>, to reject it: <code>npx soma reject ${pending.id} --reason &quot;…&quot;</code></p>`}`
  }
  return made.message !== undefined && made.message !== '' ? html`<p>${made.message}</p>` : undefined
}

function tookSeconds({ startedAt, endedAt }: Made): string | undefined {
  const took = Date.parse(endedAt ?? '') - Date.parse(startedAt ?? '')
  return Number.isNaN(took) || took < 0 ? undefined : seconds(took / 1000)
}
