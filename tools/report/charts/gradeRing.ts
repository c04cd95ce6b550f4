import { type Html, html } from '../html.ts'
import { toneOf } from './bars.ts'

const RADIUS = 52
const ROUND = 2 * Math.PI * RADIUS

/** The grade in a ring that is filled as far as the score goes. */
export function gradeRing(grade: string, score: number): Html {
  const filled = Math.round((ROUND * Math.max(0, Math.min(100, score))) / 100)
  return html`<svg class="ring ${toneOf(score)}" viewBox="0 0 120 120" role="img" aria-label="Grade ${grade}, ${score} of 100">
<circle class="track" cx="60" cy="60" r="${RADIUS}"></circle>
<circle class="fill" cx="60" cy="60" r="${RADIUS}" stroke-dasharray="${filled} ${Math.ceil(ROUND)}" transform="rotate(-90 60 60)"></circle>
<text class="grade" x="60" y="64">${grade}</text><text class="score" x="60" y="86">${score} of 100</text>
</svg>`
}
