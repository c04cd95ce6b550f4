import type { Decision, PolicyInput } from '@soma/contracts/policy'

/** What policy decides from, for one tenant: the constitution's rules and the tenant's own, as compiled data. */
export interface PolicyData {
  /** Digest; part of every decision. */
  version: string
  document: Record<string, unknown>
}

/** The decision point. Never answers without having asked: on any failure it throws `policy_unavailable`, and the gate says no. */
export interface Policy {
  /** Puts a tenant's data in force, at once and as a whole. Data that the policy can't use is refused and the last stays. */
  load(tenant: string, data: PolicyData): Promise<void>
  loadedVersion(tenant: string): string | undefined
  decide(input: PolicyInput): Promise<Decision>
  version(): Promise<string>
  close(): Promise<void>
}
