import type { Decision, Explanation, PolicyInput } from '@soma/contracts/policy'

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
  /** The decision, and how it came about. From the same rules by the same evaluator, for people: it takes longer. */
  explain(input: PolicyInput): Promise<Explanation>
  version(): Promise<string>
  close(): Promise<void>
}
