import { z } from 'zod'

/** A tenant's name: lower-case letters, digits and dashes, 2 to 40 long. It is part of keys, paths and topic messages. */
export const TenantId = z
  .string()
  .regex(/^[a-z][a-z0-9-]{1,39}$/, 'A tenant is 2 to 40 lower-case letters, digits or dashes, beginning with a letter.')
export type TenantId = z.infer<typeof TenantId>

/** Who acts. A person, a service account, or an agent acting for one within a run. */
export const Principal = z.object({
  id: z.string().describe('Stable id: user:…, key:…, agent:…'),
  kind: z.enum(['user', 'service', 'agent']),
  tenant: TenantId,
  /** Patterns of capabilities, `*` standing for one or more name parts: `tool.git.read`, `tool.*`, `*`. */
  capabilities: z.array(z.string()),
  /** Further limits, each a list of capability patterns that must also allow the action: the persona's and the capsule's permissions. */
  within: z.array(z.array(z.string())).default([]),
  /** True when the person showed a second factor at sign-in. Absent: nobody said so, which counts as no. */
  mfa: z.boolean().optional(),
  /** When that factor was shown, in seconds since 1970. Absent: nobody said. */
  mfaAt: z.number().int().optional(),
  /** The run that an agent's token is bound to: what the agent has read there decides what it may still cause. */
  run: z.string().optional(),
  /** Operation patterns, each list of which must also allow a call: what the capsules name that an agent acts within. */
  tools: z.array(z.array(z.string())).optional(),
  /** Whom an agent acts for, who started its run; or a key, who made it. What shuts that one out stops the agent and the key too. */
  onBehalfOf: z.string().optional(),
  /** The session of a person that the token belongs to, and with which it ends. */
  session: z.string().optional(),
})
export type Principal = z.infer<typeof Principal>

/** True when one of the patterns covers the capability. `tool.*` covers `tool.git.read`; `*` covers everything. */
export function covers(patterns: readonly string[], capability: string): boolean {
  return patterns.some(
    (pattern) => pattern === '*' || pattern === capability || (pattern.endsWith('.*') && capability.startsWith(pattern.slice(0, -1))),
  )
}

/** True when the principal may perform the action as far as it is a call of an operation: `tool.git.log`. */
export function mayCall({ tools = [] }: Pick<Principal, 'tools'>, action: string): boolean {
  if (!action.startsWith('tool.')) return true
  return tools.every((patterns) => covers(patterns, action.slice('tool.'.length)))
}

/** True when the principal has the capability: own grants ∩ every limit it acts within. */
export function holds(principal: Pick<Principal, 'capabilities' | 'within'>, capability: string): boolean {
  return covers(principal.capabilities, capability) && principal.within.every((limit) => covers(limit, capability))
}
