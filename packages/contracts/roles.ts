import { z } from 'zod'

export const RoleName = z.string().regex(/^[a-z][a-z0-9-]{1,39}$/, 'A role is 2 to 40 lower-case letters, digits or dashes.')

export const Role = z.object({
  name: RoleName,
  summary: z.string(),
  /** Patterns: `tool.*` stands for everything that begins with `tool.`; `*` for everything. */
  capabilities: z.array(z.string()),
})
export type Role = z.infer<typeof Role>

/** What everybody does with the own account, and with whom one is. */
const OWN = ['me.*', 'status.read']
const READING = [
  ...['project.read', 'capsule.read', 'run.read', 'deliverable.read', 'tool.read', 'approval.read', 'training.read'],
  ...['budget.read', 'constitution.read', 'analytics.read', 'audit.read'],
]

/**
 * The roles that every tenant has. It may give them other capabilities, and have further ones.
 * What crosses tenants (`platform.*`, `kill.everything`) is the owner's alone.
 */
export const DEFAULT_ROLES = [
  { name: 'owner', summary: 'Everything, also what concerns every tenant of the platform', capabilities: ['*'] },
  {
    name: 'administrator',
    summary: 'Everything in the own tenant',
    capabilities: [
      ...[...OWN, 'user.*', 'role.*', 'account.*', 'session.*', 'key.*', 'token.*', 'scim.*', 'tenant.*', 'training.*', 'secret.*'],
      ...['project.*', 'capsule.*', 'run.*', 'deliverable.*', 'tool.*', 'model.*', 'memory.*', 'approval.*', 'kill.admin'],
      ...['constitution.*', 'policy.*', 'budget.*', 'audit.*', 'analytics.*', 'notification.*', 'settings.*', 'billing.*'],
    ],
  },
  {
    name: 'developer',
    summary: 'Writes, signs and runs capsules and projects; decides nothing for others',
    capabilities: [
      ...[...OWN, ...READING, 'token.issue', 'token.revoke', 'key.read', 'key.create', 'policy.evaluate'],
      ...['project.*', 'capsule.*', 'run.*', 'deliverable.*', 'tool.*', 'model.*', 'memory.*'],
    ],
  },
  {
    name: 'operator',
    summary: 'Runs projects, approves, stops',
    capabilities: [
      ...[...OWN, ...READING, 'token.issue', 'token.revoke', 'policy.evaluate'],
      ...['project.*', 'capsule.*', 'run.*', 'deliverable.*', 'tool.*', 'model.*', 'memory.*', 'approval.*', 'kill.admin'],
    ],
  },
  {
    name: 'auditor',
    summary: 'Reads everything there is to prove, and changes nothing',
    capabilities: [
      ...OWN,
      ...READING,
      'audit.checkpoint',
      'user.read',
      'role.read',
      'account.read',
      'key.read',
      'session.read',
      'policy.evaluate',
    ],
  },
  { name: 'viewer', summary: 'Reads', capabilities: [...OWN, ...READING] },
] as const satisfies Role[]

/** The capabilities of a role that comes with the platform. */
export function defaultCapabilities(name: (typeof DEFAULT_ROLES)[number]['name']): string[] {
  return [...(DEFAULT_ROLES.find((role) => role.name === name)?.capabilities ?? [])]
}
