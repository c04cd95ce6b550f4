import { parseConstitution } from '@soma/ports/policy/check'
import { compileConstitution } from '@soma/ports/policy/compile'
import type { PolicyData } from '@soma/ports/policy/port'

/** What constitution-service says is in force for a tenant: the platform's rules, and the tenant's own. */
export interface RulesInForce {
  base: { yaml: string; digest: string }
  overlay: { yaml: string; digest: string } | null
}

export function compileRules({ base, overlay }: RulesInForce): PolicyData {
  return compileConstitution([base, overlay].flatMap((each) => (each ? [parseConstitution(each.yaml)] : [])))
}
