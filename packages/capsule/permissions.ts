import type { Capsule } from '@soma/contracts/capsule'
import { covers, type Principal } from '@soma/contracts/tenant'

/** Every list of operation patterns that a call within the capsule must match: its own and those of the capsules around it. */
export function operationLimits(capsule: Capsule, around: readonly string[][] = []): string[][] {
  return [...around, capsule.permissions.tools]
}

/** True when every list allows the operation. `git.*` allows `git.log`; `*` allows everything. */
export function allowsOperation(limits: readonly (readonly string[])[], operation: string): boolean {
  return limits.every((patterns) => covers(patterns, operation))
}

/** True when the capsule may run the capsule of that reference: `name@1.0.0` itself, `name@*` for any version, `*` for all. */
export function allowsCapsule(patterns: readonly string[], reference: string): boolean {
  const name = reference.split('@', 1)[0]
  return patterns.some((pattern) => pattern === '*' || pattern === reference || pattern === `${name}@*`)
}

/**
 * The principal as it acts within the capsule. A pattern of operations says which adapters it reaches, not which capability of theirs
 * an operation takes, so the limit is the adapter's capabilities; the operation itself is held to by `allowsOperation`.
 */
export function withinCapsule(principal: Principal, capsule: Capsule): Principal {
  const limit = capsule.permissions.tools.map((pattern) => (pattern === '*' ? 'tool.*' : `tool.${pattern.split('.', 1)[0]}.*`))
  return { ...principal, within: [...principal.within, [...new Set(limit)]] }
}
