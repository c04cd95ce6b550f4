import { counted } from '../amounts.ts'
import { type Html, html } from '../html.ts'

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']

/** Commits by weekday and hour, as a table whose cells are the darker the more there are. */
export function punchCard(card: number[][]): Html {
  const most = Math.max(1, ...card.flat())
  const hours = Array.from({ length: 24 }, (_, hour) => hour)
  return html`<figure class="chart">
<figcaption>When commits are written</figcaption>
<table class="punch">
<caption class="hidden">Commits by weekday and hour, in the local time of whoever wrote them</caption>
<thead><tr><td></td>${hours.map((hour) => html`<th scope="col"><span${hour % 3 !== 0 && html` class="hidden"`}>${hour}</span></th>`)}</tr></thead>
<tbody>${DAYS.map(
    (day, index) =>
      html`<tr><th scope="row">${day}</th>${hours.map((hour) => {
        const commits = card[index]?.[hour] ?? 0
        if (commits === 0) return html`<td><span class="hidden">0</span></td>`
        return html`<td style="--part:${strength(commits, most)}%" title="${day} ${hour}:00, ${counted(commits, 'commit')}"><span class="hidden">${commits}</span></td>`
      })}</tr>`,
  )}</tbody>
</table>
</figure>`
}

/** By the square root, so that one busy hour does not leave the others blank. */
function strength(commits: number, most: number): number {
  return Math.round(15 + 85 * Math.sqrt(commits / most))
}
