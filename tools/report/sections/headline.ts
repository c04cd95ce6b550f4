import { counted } from '../amounts.ts'
import { bar, toneOf } from '../charts/bars.ts'
import { gradeRing } from '../charts/gradeRing.ts'
import { type Facts, outputOf, type Summary, SummaryOutput } from '../facts.ts'
import { type Html, html } from '../html.ts'
import { badge, notMade, path, type Section } from '../parts.ts'

const SHOWN_FIXES = 8
const MOST_FIXES = 60

/** The grade, the score of each area, and what to fix first. */
export function headline(facts: Facts): Section {
  const summary = outputOf(facts, 'summary', SummaryOutput)
  return { id: 'summary', title: 'What to fix first', short: 'Fix first', body: summary ? graded(summary) : notMade(facts, 'summary') }
}

function graded(summary: Summary): Html {
  const { grade, score, areas, notAssessed, fixes, arithmetic } = summary
  return html`<div class="headline">
${gradeRing(grade, score)}
<ul class="areas" aria-label="Score of each area">${areas.map(
    (area) =>
      html`<li><span>${area.area}</span>${bar(area.score / 100, toneOf(area.score))}<b>${area.score}</b><em>${area.grade}</em></li>`,
  )}${notAssessed.map(({ area }) => html`<li class="quiet"><span>${area}</span><span>not assessed</span></li>`)}</ul>
</div>
${fixes.length === 0 ? html`<p class="note">Nothing was found that needs fixing.</p>` : html`<ol class="fixes">${fixes.slice(0, SHOWN_FIXES).map(fix)}</ol>`}
${
  fixes.length > SHOWN_FIXES &&
  html`<details><summary>${counted(fixes.length - SHOWN_FIXES, 'more thing', 'more things')} to fix</summary><ol class="fixes" start="${SHOWN_FIXES + 1}">${fixes.slice(SHOWN_FIXES, MOST_FIXES).map(fix)}</ol>${fixes.length > MOST_FIXES && html`<p class="quiet">And ${fixes.length - MOST_FIXES} more in the JSON twin.</p>`}</details>`
}
<details><summary>How the score is made</summary><p><code class="wrap">${arithmetic}</code></p>
<dl class="sums">${areas.map(
    (area) =>
      html`<div><dt>${area.area}: ${area.score}</dt>${area.arithmetic.slice(0, 20).map(({ reason, points }) => html`<dd><span>${reason}</span><b>${points > 0 ? `+${points}` : points}</b></dd>`)}</div>`,
  )}</dl>
${notAssessed.map(({ area, reason }) => html`<p class="quiet">${area} is not assessed: ${reason}</p>`)}</details>`
}

function fix({ title, severity, why, advice, effort, evidence, occurrences, area }: Summary['fixes'][number]): Html {
  const hidden = occurrences - evidence.length
  return html`<li class="fix"><div class="fix-text">
<h3>${title}</h3>
<p class="tags">${badge(severity)}<span>${area}</span><span>${effort} effort</span>${occurrences > 1 && html`<span>${counted(occurrences, 'place')}</span>`}</p>
<p>${why} ${advice}</p>
${evidence.length > 0 && html`<p class="evidence">${evidence.map((place) => html`${path(place.path, place.line)} `)}${hidden > 0 && html`<span class="quiet">and ${hidden} more</span>`}</p>`}
</div></li>`
}
