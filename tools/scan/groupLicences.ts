import type { OperationContext } from '@soma/contracts/operation'
import type { Dependency } from './dependency.ts'
import { readDependencyFiles } from './dependencyFiles.ts'
import { distinctDependencies } from './distinctDependencies.ts'
import { compareSeverity, compareText } from './finding.ts'
import { conflictOf } from './licenceConflict.ts'
import { groupOf, normalisedExpression } from './licenceGroup.ts'
import { LicenceGroup, type LicencesInput, type LicencesReport } from './licencesReport.ts'
import { repositoryLicence } from './repositoryLicence.ts'
import { openTree } from './tree.ts'

/** The licences of dependencies by what they ask, and those at odds with the repository's own. @throws what `openTree` does */
export async function groupLicences(input: LicencesInput, { signal }: OperationContext<unknown>): Promise<LicencesReport> {
  const tree = await openTree(input, signal)
  const repository = await repositoryLicence(tree)
  const list = input.dependencies ?? distinctDependencies(await readDependencyFiles(tree))
  const judged = list.map((dependency) => {
    const expression = normalisedExpression(dependency.licence)
    return { dependency, expression, group: groupOf(expression) }
  })
  const conflicts = judged
    .flatMap(({ dependency, expression, group }): Conflict[] => {
      if (expression === null || dependency.dev) return []
      const conflict = conflictOf({ expression, group }, repository)
      return conflict ? [{ ...licensed(dependency), expression, ...conflict }] : []
    })
    .sort((a, b) => compareSeverity(a.severity, b.severity) || compareText(a.purl, b.purl))
  const unclear = judged.filter(({ group }) => group === 'unknown')
  return {
    commit: tree.commit,
    repository,
    totals: {
      dependencies: list.length,
      stated: list.filter(({ licence }) => licence !== undefined).length,
      unknown: unclear.length,
    },
    groups: LicenceGroup.options.map((group) => ({ group, ...counted(judged.filter((one) => one.group === group)) })),
    conflicts: conflicts.slice(0, input.limit),
    unclear: unclear.slice(0, input.limit).map(({ dependency }) => ({ ...licensed(dependency), stated: dependency.licence ?? null })),
    truncated: conflicts.length > input.limit || unclear.length > input.limit,
  }
}

type Conflict = LicencesReport['conflicts'][number]

function licensed({ ecosystem, name, version, purl, direct, dev }: Dependency) {
  return { ecosystem, name, version, purl, direct, dev }
}

function counted(judged: { dependency: Dependency; expression: string | null }[]) {
  const counts = new Map<string, number>()
  for (const { dependency, expression } of judged) {
    const name = expression ?? dependency.licence
    if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const licences = [...counts].map(([expression, dependencies]) => ({ expression, dependencies }))
  licences.sort((a, b) => b.dependencies - a.dependencies || compareText(a.expression, b.expression))
  return { dependencies: judged.length, licences: licences.slice(0, 100) }
}
