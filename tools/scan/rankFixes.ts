import type { Area } from './area.ts'
import { compareSeverity, compareText, type Severity } from './finding.ts'
import { FIX_TEXTS } from './fixTexts.ts'
import type { RankInput } from './rankInput.ts'
import type { Fix } from './rankReport.ts'

interface Item {
  area: Area
  /** What is fixed together. */
  group: string
  severity: Severity
  title: string
  why: string
  advice: string
  effort: Fix['effort']
  evidence: { path: string; line?: number }
}

const MAX_EVIDENCE = 10
const EFFORTS: Fix['effort'][] = ['small', 'medium', 'large']

/** One fix for all findings of a rule: the most severe first, then the least work, then the most often found. */
export function rankFixes(input: RankInput): Fix[] {
  const groups = new Map<string, Item[]>()
  for (const item of itemsOf(input)) groups.set(item.group, [...(groups.get(item.group) ?? []), item])
  return [...groups.entries()]
    .map(([group, items]) => ({ group, fix: fixOf(items) }))
    .sort(
      (a, b) =>
        compareSeverity(a.fix.severity, b.fix.severity) ||
        EFFORTS.indexOf(a.fix.effort) - EFFORTS.indexOf(b.fix.effort) ||
        b.fix.occurrences - a.fix.occurrences ||
        compareText(a.group, b.group),
    )
    .map(({ fix }, index) => ({ ...fix, rank: index + 1 }))
}

function fixOf(items: Item[]): Omit<Fix, 'rank'> {
  const sorted = [...items].sort(
    (a, b) =>
      compareSeverity(a.severity, b.severity) ||
      compareText(a.evidence.path, b.evidence.path) ||
      (a.evidence.line ?? 0) - (b.evidence.line ?? 0),
  )
  const [first] = sorted as [Item, ...Item[]]
  const { area, severity, title, why, advice, effort } = first
  const evidence = sorted
    .map((item) => item.evidence)
    .filter(({ path }) => path !== '')
    .slice(0, MAX_EVIDENCE)
  return { area, severity, title, why, advice, effort: items.length > 50 ? larger(effort) : effort, evidence, occurrences: items.length }
}

function larger(effort: Fix['effort']): Fix['effort'] {
  return effort === 'small' ? 'medium' : 'large'
}

function itemsOf(input: RankInput): Item[] {
  return [...secretItems(input), ...findingItems(input), ...licenceItems(input), ...peopleItems(input), ...testItems(input)]
}

function secretItems({ secrets }: RankInput): Item[] {
  return (secrets?.findings ?? []).map(({ rule, severity, message, path, line, atHead }) => {
    const what = message.replace(/ \([^)]*\)$/, '').replace(/^An? /, '')
    const title = atHead ? `Revoke and remove: ${what}` : `Revoke what history still holds: ${what}`
    const why = atHead ? 'Whoever reads the repository can use it.' : 'It was removed, but every clone still holds it.'
    const advice = atHead
      ? 'Revoke it where it was issued, issue a new one, and keep that in a secret store. Removing the line is not enough: history keeps it.'
      : 'Revoke it where it was issued; then it does not matter that history keeps it.'
    return {
      area: 'secrets',
      group: `secrets.${rule}.${severity}.${atHead}`,
      severity,
      title,
      why,
      advice,
      effort: 'small',
      evidence: { path, line },
    }
  })
}

function findingItems({ dependencies, documentation, infrastructure }: RankInput): Item[] {
  const lists = [
    ['dependencies', dependencies?.problems],
    ['documentation', documentation?.findings],
    ['infrastructure', infrastructure?.findings],
  ] as const
  return lists.flatMap(([area, findings = []]) =>
    findings
      .filter(({ severity }) => severity !== 'info')
      .map(({ rule, severity, path, line, message, advice }): Item => {
        const { title, why, effort } = FIX_TEXTS[rule] ?? { title: message, why: message, effort: 'medium' as const }
        return { area, group: rule, severity, title, why, advice, effort, evidence: { path, line } }
      }),
  )
}

function licenceItems({ licences }: RankInput): Item[] {
  if (!licences) return []
  const conflicts = licences.conflicts.map(
    ({ name, version, severity, reason, advice, expression }): Item => ({
      area: 'licences',
      group: `licences.conflict.${expression}`,
      severity,
      title: `Settle the licence ${expression} of ${name}${version === null ? '' : ` ${version}`}`,
      why: reason,
      advice,
      effort: 'medium',
      evidence: { path: '' },
    }),
  )
  const { repository, totals } = licences
  if (repository.disagreement) {
    for (const { path } of repository.sources) {
      conflicts.push({
        area: 'licences',
        group: 'licences.disagreement',
        severity: 'medium',
        title: 'State one licence',
        why: 'The licence file and the manifest differ: nobody can tell which holds.',
        advice: 'Bring the field of the manifest and the file to the same licence.',
        effort: 'small',
        evidence: { path },
      })
    }
  }
  if (totals.unknown > 0 && totals.unknown < totals.dependencies) {
    conflicts.push({
      area: 'licences',
      group: 'licences.unclear',
      severity: 'low',
      title: `Clear up the licences of ${totals.unknown} dependencies`,
      why: 'Without a known licence there may be no right to use them.',
      advice: 'Look at each; replace those without one.',
      effort: 'medium',
      evidence: { path: '' },
    })
  }
  return conflicts
}

function peopleItems({ ownership }: RankInput): Item[] {
  const item = (group: string, severity: Severity, title: string, why: string, advice: string, path = ''): Item => ({
    area: 'people',
    group,
    severity,
    title,
    why,
    advice,
    effort: 'large',
    evidence: { path },
  })
  const sharing = 'Review and change it together until a second person knows it.'
  const only = ownership?.whole?.busFactor === 1 && (ownership.whole.holderCount ?? 2) > 1
  return [
    ...(only
      ? [
          item(
            'people.bus-factor',
            'medium',
            'Share what one person knows',
            'One person holds at least half of what is known about the code.',
            sharing,
          ),
        ]
      : []),
    ...(ownership?.atRisk ?? []).map((folder) =>
      item(
        'people.at-risk',
        'medium',
        'Take over folders whose only holder is away',
        'Nobody who is still here knows them.',
        sharing,
        folder,
      ),
    ),
  ]
}

function testItems({ languages }: RankInput): Item[] {
  const lines = languages?.languages.filter(({ type }) => type === 'programming').reduce((sum, language) => sum + language.lines, 0) ?? 0
  if (!languages || lines < 200 || languages.tests.share >= 0.1) return []
  const hasNone = languages.tests.files === 0
  return [
    {
      area: 'code',
      group: 'code.tests',
      severity: hasNone ? 'high' : 'medium',
      title: hasNone ? 'Write the first tests' : 'Write more tests',
      why: `${Math.round(languages.tests.share * 100)} % of the lines of code are tests: a change can break things unseen.`,
      advice: 'Begin with what changes most and what would hurt most.',
      effort: 'large',
      evidence: { path: '' },
    },
  ]
}
