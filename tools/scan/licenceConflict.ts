import { groupOf, idsIn, isSatisfiedBy } from './licenceGroup.ts'
import type { LicenceGroup } from './licencesReport.ts'

/** Licences of the groups below that can't be combined with the GPL, version 2 only: https://www.gnu.org/licenses/license-list.html */
const NOT_WITH_GPL2 = /^(Apache-|L?GPL-3|EPL-|CDDL-|CPL-|BSD-4|OpenSSL|PHP-)/

interface Judgement {
  severity: 'high' | 'medium' | 'low'
  reason: string
  advice: string
}

/** Why a dependency that is distributed with the repository does not go with its licence; undefined when it does. No legal advice. */
export function conflictOf(
  dependency: { expression: string; group: LicenceGroup },
  repository: { expression: string | null; group: LicenceGroup },
): Judgement | undefined {
  const own = repository.expression ?? 'no known licence'
  const advice = 'Replace it, ask its owner for other terms, or change the licence of the repository; let a lawyer decide.'
  if (dependency.group === 'proprietary') {
    return {
      severity: 'medium',
      reason: `"${dependency.expression}" gives no rights to the public.`,
      advice: 'Make sure that you have the right to use and pass it on.',
    }
  }
  if (isGpl2Only(repository.expression) && dependency.group !== 'unknown' && !goesWithGpl2(dependency.expression)) {
    return { severity: 'high', reason: `${dependency.expression} can not be combined with ${own} in one work.`, advice }
  }
  if (dependency.group === 'network-copyleft' && repository.group !== 'network-copyleft') {
    const reason = `${dependency.expression} asks that whoever uses the work over a network gets its source; the repository has ${own}.`
    return { severity: 'high', reason, advice }
  }
  if (dependency.group === 'strong-copyleft' && !['strong-copyleft', 'network-copyleft'].includes(repository.group)) {
    const reason = `${dependency.expression} asks that the whole work is distributed under it; the repository has ${own}.`
    return { severity: 'high', reason, advice }
  }
  return undefined
}

function isGpl2Only(expression: string | null): boolean {
  const ids = expression === null ? [] : idsIn(expression)
  return ids.length > 0 && ids.every((id) => /^GPL-2\.0(-only)?$/.test(id)) && !expression?.includes('+')
}

function goesWithGpl2(expression: string): boolean {
  const groups: LicenceGroup[] = ['permissive', 'weak-copyleft', 'strong-copyleft']
  return isSatisfiedBy(expression, (id) => groups.includes(groupOf(id)) && !NOT_WITH_GPL2.test(id))
}
