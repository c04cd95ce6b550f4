import type { StoredCapsule } from '@soma/contracts/capsule'
import type { CapsuleResolveInput, CapsuleResolveOutput } from '@soma/contracts/capsule-run'
import { bodyOf, servicePrincipal } from '@soma/kernel/platform/internal-fetch'
import type { Parts } from './parts.ts'

/** Fetches a capsule that may run, and makes a budget for its own limit when it names one. */
export function capsuleResolve({ fetchAs, budgets }: Parts) {
  return async ({ reference, tenant, run, step }: CapsuleResolveInput): Promise<CapsuleResolveOutput> => {
    const [name, version] = reference.split('@')
    const { capsule, digest } = await bodyOf<StoredCapsule>(
      fetchAs(servicePrincipal('orchestrator', tenant))(`/v1/capsules/${name}/${version}/verified`),
    )
    if (Object.keys(capsule.budget).length === 0) return { capsule, digest }
    const budget = `run/${run}/${step}`
    await budgets.open(tenant, budget, capsule.budget)
    return { capsule, digest, budget }
  }
}
