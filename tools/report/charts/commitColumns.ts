import { scaleLinear, scaleUtc } from 'd3-scale'
import { count, counted, date } from '../amounts.ts'
import { type Html, html } from '../html.ts'

const WEEK = 7 * 86_400_000
const MOST_WEEKS = 104
const HEIGHT = 160

interface Period {
  start: Date
  end: Date
  commits: number
  label: string
}

/** Commits over time: a column for each week, or for each month when there are more than two years of them. */
export function commitColumns(weeks: { week: string; commits: number }[]): Html {
  const { periods, by } = periodsOf(weeks)
  const first = periods[0]
  const last = periods.at(-1)
  if (!first || !last) return html`<p class="quiet">No commits to draw.</p>`
  const x = scaleUtc([first.start, last.end], [0, 100])
  const y = scaleLinear([0, Math.max(1, ...periods.map(({ commits }) => commits))], [HEIGHT, 0]).nice(4)
  const levels = y.ticks(4).filter(Number.isInteger)
  const ticks = x.ticks(6)
  const labelOf = x.tickFormat(6, last.end.getTime() - first.start.getTime() > 400 * 86_400_000 ? '%b %Y' : '%-d %b')
  const busiest = periods.reduce((most, period) => (period.commits > most.commits ? period : most))
  const text = `${counted(total(periods), 'commit')} by ${by}, ${date(first.start.toISOString())} to ${date(last.end.toISOString())}; most in ${busiest.label}: ${count(busiest.commits)}.`
  return html`<figure class="chart">
<figcaption>Commits a ${by}</figcaption>
<div class="plot" style="height:${HEIGHT}px">
${levels.map((level) => html`<span class="level" style="top:${round((y(level) / HEIGHT) * 100)}%"><b>${count(level)}</b></span>`)}
<svg role="img" aria-label="${text}" viewBox="0 0 100 ${HEIGHT}" preserveAspectRatio="none">${periods.map((period) => {
    const left = x(period.start)
    const width = x(period.end) - left
    return (
      period.commits > 0 &&
      html`<rect x="${round(left + width * 0.1)}" y="${round(y(period.commits))}" width="${round(width * 0.8)}" height="${round(HEIGHT - y(period.commits))}"><title>${period.label}: ${counted(period.commits, 'commit')}</title></rect>`
    )
  })}</svg>
</div>
<div class="ticks" aria-hidden="true">${ticks.map((tick, index) => html`<span style="left:${round(x(tick))}%"${index % 2 === 1 && html` class="spare"`}>${labelOf(tick)}</span>`)}</div>
</figure>`
}

function periodsOf(weeks: { week: string; commits: number }[]): { periods: Period[]; by: 'week' | 'month' } {
  const known = new Map(weeks.map(({ week, commits }) => [Date.parse(week), commits]))
  const starts = [...known.keys()].sort((a, b) => a - b)
  const [first] = starts
  const last = starts.at(-1)
  if (first === undefined || last === undefined) return { periods: [], by: 'week' }
  if ((last - first) / WEEK >= MOST_WEEKS) return { periods: months(known, first, last), by: 'month' }
  // A history of a few weeks is shown as a few columns among empty ones, not as slabs.
  const from = Math.min(first, last - 25 * WEEK)
  const periods: Period[] = []
  for (let at = from; at <= last; at += WEEK) {
    const start = new Date(at)
    periods.push({ start, end: new Date(at + WEEK), commits: known.get(at) ?? 0, label: `week of ${date(start.toISOString())}` })
  }
  return { periods, by: 'week' }
}

function months(known: Map<number, number>, first: number, last: number): Period[] {
  const periods: Period[] = []
  const begin = new Date(first)
  for (let month = 0; ; month++) {
    const start = new Date(Date.UTC(begin.getUTCFullYear(), begin.getUTCMonth() + month))
    if (start.getTime() > last) return periods
    const end = new Date(Date.UTC(begin.getUTCFullYear(), begin.getUTCMonth() + month + 1))
    const commits = [...known].reduce((sum, [at, made]) => (at >= start.getTime() && at < end.getTime() ? sum + made : sum), 0)
    const label = start.toLocaleDateString('en-GB', { month: 'long', year: 'numeric', timeZone: 'UTC' })
    periods.push({ start, end, commits, label })
  }
}

function total(periods: Period[]): number {
  return periods.reduce((sum, { commits }) => sum + commits, 0)
}

function round(number: number): number {
  return Math.round(number * 100) / 100
}
