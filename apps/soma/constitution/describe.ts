import type { Constitution, Rule } from '@soma/contracts/constitution'
import type { ConstitutionProposal, ConstitutionVersion } from '@soma/contracts/constitution-version'
import type { ConstitutionDiff } from '@soma/ports/policy/diff'
import { shownValue } from '../policy-view.ts'
import type { Terminal } from '../terminal.ts'
import { count, oneLine, pad, padLeft, paragraph, truncate } from '../text.ts'

type Shown = Pick<Terminal, 'paint' | 'width'>

export function describeRules({ rules, residency }: Pick<Constitution, 'rules' | 'residency'>, { paint, width }: Shown): string {
  const lines = rules.flatMap(({ id, decide, says }) => [
    `  ${pad(decide, 14)}  ${paint.bold(id)}`,
    ...paragraph(says, width, 18).map(paint.dim),
  ])
  return [...lines, ...(residency ? [`  data may be in  ${residency.join(', ')}`] : [])].join('\n')
}

export function describeVersion(name: string, version: ConstitutionVersion): string[] {
  const { version: number, digest, keyId, publishedAt, publishedBy, note } = version
  return [
    `${pad(name, 6)}version ${number}, in force since ${time(publishedAt)} by ${publishedBy}`,
    `      sha256 ${digest.slice(0, 16)}…, signed by ${keyId}`,
    `      ${reviewOf(version)}${note ? `; "${oneLine(note)}"` : ''}`,
  ]
}

function reviewOf({ review, proposedBy, rollbackTo, emergency }: ConstitutionVersion): string {
  const what = rollbackTo === null ? '' : `brings back version ${rollbackTo}, `
  switch (review) {
    case 'two people':
      return `${what}proposed by ${proposedBy}`
    case 'alone':
      return `${what}reviewed by nobody: there was nobody else`
    case 'emergency':
      return `${what}in an emergency: ${oneLine(emergency ?? '')}`
    case 'platform':
      return 'came with the platform'
  }
}

export function describeVersions(versions: readonly ConstitutionVersion[], { paint, width }: Shown): string {
  return versions
    .flatMap((version) => [
      `${padLeft(String(version.version), 4)}  ${time(version.publishedAt)}  ${version.publishedBy}`,
      ...paragraph(reviewOf(version), width, 6),
      ...(version.note ? paragraph(version.note, width, 6).map(paint.dim) : []),
    ])
    .join('\n')
}

export function describeProposals(proposals: readonly ConstitutionProposal[], { paint, width }: Shown): string {
  return proposals
    .flatMap(({ id, status, proposedAt, proposedBy, note }) => [
      `${id}  ${pad(status, 9)}  ${time(proposedAt)}  ${proposedBy}`,
      ...paragraph(note, width, 6).map(paint.dim),
    ])
    .join('\n')
}

/** To the minute. */
function time(at: string): string {
  return at.slice(0, 16).replace('T', ' ')
}

export function describeDiff({ added, removed, changed, tests, residency }: ConstitutionDiff, { paint, width }: Shown): string {
  const line = (sign: string, { id, decide, says }: Rule) => truncate(`${sign} ${pad(id, 24)}  ${pad(decide, 14)}  ${oneLine(says)}`, width)
  const lines = [
    ...added.map((rule) => paint.green(line('+', rule))),
    ...removed.map((rule) => paint.red(line('-', rule))),
    ...changed.flatMap(({ after, fields, before }) => [
      paint.yellow(line('~', after)),
      ...fields.flatMap((field) => [
        `    ${field}`,
        ...paragraph(`- ${fieldText(before, field)}`, width, 6).map(paint.red),
        ...paragraph(`+ ${fieldText(after, field)}`, width, 6).map(paint.green),
      ]),
    ]),
    ...(residency ? [`~ regions  ${residency.before.join(', ') || 'any'} → ${residency.after.join(', ') || 'any'}`] : []),
  ]
  const told = [
    ...(tests.added.length > 0 ? [`${count(tests.added.length, 'test')} added`] : []),
    ...(tests.removed.length > 0 ? [`${count(tests.removed.length, 'test')} removed`] : []),
    ...(tests.changed.length > 0 ? [`${count(tests.changed.length, 'test')} changed`] : []),
  ]
  return [...(lines.length > 0 ? lines : ['No rule is another.']), ...(told.length > 0 ? [paint.dim(told.join(', '))] : [])].join('\n')
}

function fieldText(rule: Rule, field: string): string {
  const { applies, ...rest } = rule
  return shownValue(({ ...applies, ...rest } as Record<string, unknown>)[field])
}

interface Impact {
  asked: number
  same: number
  changed: { from: string; to: string; count: number }[]
  unknown: { why: string; count: number }[]
  changes: {
    at: string
    principal: string
    action: string
    before: { verdict: string; obligations: string[] }
    after: { verdict: string; rules: string[]; reasons: string[]; obligations: string[] }
  }[]
}

/** Like changes are told together, with the last of them. */
export function describeImpact(impact: Impact, { paint, width }: Shown): string {
  const { asked, same, changes, unknown } = impact
  const unknowns = unknown.reduce((sum, each) => sum + each.count, 0)
  const lines = [
    `${count(asked, 'decision')} asked again: ${same.toLocaleString('en')} the same, ${changes.length.toLocaleString('en')} changed${unknowns > 0 ? `, ${unknowns.toLocaleString('en')} unknown` : ''}`,
  ]
  for (const [first, ...others] of groups(changes)) {
    if (!first) continue
    const { action, principal, at, before, after } = first
    const verdicts =
      before.verdict === after.verdict
        ? `${after.verdict}, with ${after.obligations.join(', ') || 'nothing to mind'}`
        : `${before.verdict} → ${after.verdict}`
    const paintVerdict = after.verdict === 'deny' ? paint.red : after.verdict === 'allow' ? paint.green : paint.yellow
    lines.push(
      '',
      truncate(`${String(others.length + 1).padStart(6)} ×  ${pad(action, 32)}  ${paintVerdict(verdicts)}`, width),
      ...paragraph(`by ${after.rules.join(', ')}: ${after.reasons.join(' ')}`, width, 10),
      paint.dim(`          last ${time(at)} for ${principal}`),
    )
  }
  for (const { why, count: times } of unknown)
    lines.push('', ...paragraph(`${count(times, 'question')} could not be asked again. ${why}`, width))
  return lines.join('\n')
}

function groups(changes: Impact['changes']): Impact['changes'][] {
  const byKind = new Map<string, Impact['changes']>()
  for (const change of changes) {
    const { action, before, after } = change
    const key = JSON.stringify([action, before.verdict, after.verdict, after.rules, after.obligations])
    byKind.set(key, [...(byKind.get(key) ?? []), change])
  }
  return [...byKind.values()].sort((one, other) => other.length - one.length)
}
