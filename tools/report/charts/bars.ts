import { type Html, html } from '../html.ts'

/** A bar from 0 to 1 beside its number, which is written out, so that it needs no text of its own. */
export function bar(share: number, tone: 'accent' | 'good' | 'fair' | 'poor' = 'accent'): Html {
  const width = Math.round(Math.max(0, Math.min(1, share)) * 1000) / 10
  return html`<span class="bar ${tone}" aria-hidden="true"><i style="width:${width}%"></i></span>`
}

export interface Segment {
  name: string
  share: number
  /** `#rrggbb`; anything else is replaced. */
  color: string | null
}

const SPARE_COLORS = ['#4c6ef5', '#12b886', '#f59f00', '#e64980', '#7950f2', '#15aabf', '#82c91e', '#fa5252']
const MOST_SEGMENTS = 10

/** Shares of a whole as one stacked bar; what is small comes together as the last. */
export function stackedBar(segments: Segment[], describe: (share: number) => string): Html {
  const shown = segments.filter(({ share }) => share > 0).slice(0, MOST_SEGMENTS)
  const rest = segments.reduce((sum, { share }) => sum + share, 0) - shown.reduce((sum, { share }) => sum + share, 0)
  const all = rest > 0.0005 ? [...shown, { name: 'Other', share: rest, color: '#8a94a3' }] : shown
  const colored = all.map((segment, index) => ({ ...segment, color: colorOf(segment, index) }))
  const text = colored.map(({ name, share }) => `${name} ${describe(share)}`).join(', ')
  return html`<div class="stack" role="img" aria-label="${text}">${colored.map(({ share, color }) => html`<i style="flex-grow:${Math.round(share * 10_000)};background:${color}"></i>`)}</div>
<ul class="legend" aria-hidden="true">${colored.map(({ name, share, color }) => html`<li><i style="background:${color}"></i>${name} <b>${describe(share)}</b></li>`)}</ul>`
}

function colorOf({ color }: Segment, index: number): string {
  return color !== null && /^#[0-9a-f]{6}$/i.test(color) ? color : (SPARE_COLORS[index % SPARE_COLORS.length] as string)
}

export function toneOf(score: number): 'good' | 'fair' | 'poor' {
  return score >= 80 ? 'good' : score >= 60 ? 'fair' : 'poor'
}
