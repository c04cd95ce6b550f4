import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { type Summary, SummaryOutput } from './facts.ts'
import { visibleText } from './html.ts'

const MOST_FIXES = 20
const MOST_PLACES = 5

export const markdown = operation({
  name: 'report.markdown',
  summary: 'Write the summary of a repository as HEALTH.md',
  input: z.object({ summary: SummaryOutput.describe('What scan.rank gave') }),
  output: z.object({ markdown: z.string().describe('The text of the file') }),
  effect: 'read',
  capability: 'tool.report.read',
  idempotency: { kind: 'read' },
  untrustedOutput: true,
  async run({ summary }) {
    return { markdown: healthFile(summary) }
  },
})

function healthFile({ grade, score, areas, notAssessed, fixes }: Summary): string {
  const table = areas.map((area) => `| ${plain(area.area)} | ${plain(area.grade)} | ${area.score} | ${weakest(area.arithmetic)} |`)
  const rest = fixes.length - MOST_FIXES
  const blocks = [
    '# Health of this repository',
    `**Grade ${plain(grade)}**, ${score} of 100.`,
    ...(areas.length > 0 ? [['| area | grade | score | what costs most |', '| --- | --- | ---: | --- |', ...table].join('\n')] : []),
    ...(notAssessed.length > 0 ? [`Not assessed: ${notAssessed.map(({ area }) => plain(area)).join(', ')}.`] : []),
    '## What to fix first',
    fixes.length === 0 ? 'Nothing was found.' : fixes.slice(0, MOST_FIXES).map(item).join('\n'),
    ...(rest > 0 ? [`And ${rest} more.`] : []),
  ]
  return `${blocks.join('\n\n')}\n`
}

function weakest(arithmetic: Summary['areas'][number]['arithmetic']): string {
  const [worst] = arithmetic.filter(({ points }) => points < 0).sort((a, b) => a.points - b.points)
  return worst ? `${plain(worst.reason)} (${worst.points})` : ''
}

function item({ severity, title, why, advice, evidence, occurrences }: Summary['fixes'][number], index: number): string {
  const places = evidence.slice(0, MOST_PLACES).map(({ path, line }) => code(line === undefined ? path : `${path}:${line}`))
  const more = occurrences - places.length
  const marker = `${index + 1}. `
  const where = places.length > 0 ? `\n${' '.repeat(marker.length)}- ${places.join(', ')}${more > 0 ? ` and ${more} more` : ''}` : ''
  return `${marker}**${plain(title)}** (${plain(severity)}). ${plain(why)} ${plain(advice)}${where}`
}

/** Text that no Markdown reader takes for markup, nor for an address to be linked: readers find those even where they are escaped. */
function plain(text: string): string {
  return visibleText(text)
    .replaceAll('://', '[:]//')
    .replace(/\b(www)\./gi, '$1[.]')
    .replace(/(?<=[\w.+-])@/g, '[at]')
    .replace(/[\\`*_{}[\]<>#+!|~&@]/g, (character) => `\\${character}`)
}

/** A code span whose fence is longer than any run of backticks in it. */
function code(text: string): string {
  const shown = visibleText(text)
  const longest = Math.max(0, ...(shown.match(/`+/g) ?? []).map((run) => run.length))
  const fence = '`'.repeat(longest + 1)
  const gap = shown.startsWith('`') || shown.endsWith('`') ? ' ' : ''
  return `${fence}${gap}${shown}${gap}${fence}`
}
