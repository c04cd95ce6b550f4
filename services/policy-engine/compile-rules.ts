import type { ConstitutionVersion } from '@soma/contracts/constitution-version'
import { assertSigned } from '@soma/kernel/gate/constitution-signature'
import type { SigningKey } from '@soma/kernel/keys/keys'
import { parseConstitution } from '@soma/ports/policy/check'
import { compileConstitution } from '@soma/ports/policy/compile'
import type { PolicyData } from '@soma/ports/policy/port'

type Signed = Pick<ConstitutionVersion, 'tenant' | 'version' | 'yaml' | 'digest' | 'keyId' | 'signature'>
/** What constitution-service says is in force for a tenant: the platform's rules, and the tenant's own. */
export interface RulesInForce {
  base: Signed
  overlay: Signed | null
}
/** The tenant whose rules are the base of every other's. */
export const PLATFORM = 'platform'

/**
 * Makes of a tenant's rules what policy drivers load. Where they come from is not taken on trust.
 * @throws `signature_invalid` when they are not signed by the platform, for this tenant
 */
export function compileRules(tenant: string, { base, overlay }: RulesInForce, key: Pick<SigningKey, 'id' | 'publicKey'>): PolicyData {
  assertSigned(key, PLATFORM, base)
  if (overlay) assertSigned(key, tenant, overlay)
  return compileConstitution([base, overlay].flatMap((each) => (each ? [parseConstitution(each.yaml)] : [])))
}
