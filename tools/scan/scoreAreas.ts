import { type Area, gradeOf } from './area.ts'
import type { Finding, Severity } from './finding.ts'
import type { RankInput } from './rankInput.ts'
import type { AreaScore, RankReport } from './rankReport.ts'

type Entry = AreaScore['arithmetic'][number]

const WEIGHTS: Record<Area, number> = {
  secrets: 3,
  dependencies: 2,
  infrastructure: 2,
  licences: 1.5,
  documentation: 1.5,
  code: 1,
  people: 1,
  activity: 1,
}
const SCAN: Record<Area, string> = {
  secrets: 'scan.secrets',
  dependencies: 'scan.dependencies',
  infrastructure: 'scan.infrastructure',
  licences: 'scan.licences',
  documentation: 'scan.documentation',
  code: 'scan.languages',
  people: 'git.ownership',
  activity: 'git.activity with a time to count to',
}
/** Points a finding takes, and the most that all of its severity take together. */
const COSTS: Record<Severity, { each: number; most: number }> = {
  critical: { each: 40, most: 80 },
  high: { each: 15, most: 45 },
  medium: { each: 6, most: 30 },
  low: { each: 2, most: 12 },
  info: { each: 0, most: 0 },
}
const DAY = 86_400_000

/** The score of each area that something is known about. */
export function scoreAreas(input: RankInput): Pick<RankReport, 'areas' | 'notAssessed'> {
  const deductions: Record<Area, Entry[] | undefined> = {
    secrets: secrets(input),
    dependencies: dependencies(input),
    infrastructure: input.infrastructure && bySeverity(input.infrastructure.findings),
    licences: licences(input),
    documentation: input.documentation && bySeverity(input.documentation.findings),
    code: code(input),
    people: people(input),
    activity: activity(input),
  }
  const areas: AreaScore[] = []
  const notAssessed: RankReport['notAssessed'] = []
  for (const area of Object.keys(WEIGHTS) as Area[]) {
    const entries = deductions[area]
    if (entries)
      areas.push(
        areaScore(
          area,
          entries.filter(({ points }) => points !== 0),
        ),
      )
    else notAssessed.push({ area, reason: `Needs the report of ${SCAN[area]}, with something in it to judge.` })
  }
  return { areas, notAssessed }
}

function areaScore(area: Area, entries: Entry[]): AreaScore {
  const sum = entries.reduce((total, { points }) => total + points, 100)
  const score = Math.max(0, Math.min(100, Math.round(sum)))
  return { area, score, grade: gradeOf(score), weight: WEIGHTS[area], arithmetic: [{ reason: 'Start', points: 100 }, ...entries] }
}

function bySeverity(findings: Pick<Finding, 'severity'>[]): Entry[] {
  return (Object.keys(COSTS) as Severity[]).map((severity) => {
    const count = findings.filter((finding) => finding.severity === severity).length
    const { each, most } = COSTS[severity]
    const reason = `${count} of severity ${severity}, ${each} each, at most ${most}`
    return { reason, points: -Math.min(count * each, most) }
  })
}

function secrets({ secrets: report }: RankInput): Entry[] | undefined {
  if (!report) return undefined
  const { history, complete } = report.coverage
  const unread = history ? (complete ? 0 : -5) : -10
  return [...bySeverity(report.findings), { reason: history ? 'History was read only in part' : 'History was not read', points: unread }]
}

function dependencies({ dependencies: report }: RankInput): Entry[] | undefined {
  return report && report.manifests.length + report.lockFiles.length > 0 ? bySeverity(report.problems) : undefined
}

function licences({ licences: report }: RankInput): Entry[] | undefined {
  if (!report) return undefined
  const { expression, disagreement } = report.repository
  const { dependencies, unknown } = report.totals
  return [
    { reason: 'The repository has no licence that is known', points: expression === null ? -30 : 0 },
    { reason: 'Its files state different licences', points: disagreement ? -10 : 0 },
    ...bySeverity(report.conflicts),
    { reason: `${unknown} of ${dependencies} dependencies without a known licence, 20 for all`, points: -part(unknown, dependencies, 20) },
  ]
}

function code({ languages: report }: RankInput): Entry[] | undefined {
  if (!report?.languages.some(({ type }) => type === 'programming')) return undefined
  const { share } = report.tests
  const percent = Math.round(share * 100)
  const large = report.largest.filter(({ bytes, binary }) => binary && bytes > 10_000_000).length
  return [
    { reason: `${percent} % of the lines are tests, 30 % asked for`, points: -part(Math.max(0, 0.3 - share), 0.3, 40) },
    { reason: `${large} binary files over 10 MB, 10 each, at most 30`, points: -Math.min(large * 10, 30) },
  ]
}

function people({ ownership }: RankInput): Entry[] | undefined {
  const busFactor = ownership?.whole?.busFactor
  if (busFactor === undefined || busFactor === 0) return undefined
  const atRisk = ownership?.atRisk?.length ?? 0
  return [
    { reason: `Bus factor ${busFactor}`, points: busFactor === 1 ? -40 : busFactor === 2 ? -15 : 0 },
    { reason: `${atRisk} folders whose only holder is away, 5 each, at most 30`, points: -Math.min(atRisk * 5, 30) },
  ]
}

function activity({ activity: facts, ownership, asOf }: RankInput): Entry[] | undefined {
  const days = (Date.parse(asOf ?? ownership?.asOf ?? '') - Date.parse(facts?.lastAt ?? '')) / DAY
  if (Number.isNaN(days)) return undefined
  const points = days > 365 ? -60 : days > 180 ? -30 : days > 90 ? -10 : 0
  return [{ reason: `Last commit ${Math.max(0, Math.floor(days))} days ago`, points }]
}

function part(amount: number, whole: number, points: number): number {
  return whole === 0 ? 0 : Math.round((amount / whole) * points)
}
