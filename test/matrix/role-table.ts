/**
 * Who may what, said by hand and apart from the code: the matrix holds the platform to this table. A role that is changed on purpose is
 * changed here as well. `*` stands for everything, `area.*` for all of an area.
 */
const ACCOUNT = ['me.*', 'status.read']
const READ = [
  ...['project.read', 'capsule.read', 'run.read', 'deliverable.read', 'tool.read', 'approval.read', 'training.read'],
  ...['budget.read', 'constitution.read', 'analytics.read', 'audit.read'],
]
const WORK = ['project.*', 'capsule.*', 'run.*', 'deliverable.*', 'tool.*', 'model.*', 'memory.*']
const TOKENS = ['token.issue', 'token.revoke']

export const ROLE_TABLE = {
  owner: ['*'],
  administrator: [
    ...[...ACCOUNT, ...READ, ...WORK, 'user.*', 'role.*', 'account.*', 'session.*', 'key.*', 'token.*', 'scim.*', 'tenant.*', 'training.*'],
    ...['approval.*', 'kill.admin', 'constitution.*', 'policy.*', 'budget.*', 'audit.*', 'analytics.*', 'notification.*'],
    ...['secret.*', 'settings.*', 'billing.*'],
  ],
  operator: [...ACCOUNT, ...READ, ...WORK, ...TOKENS, 'approval.*', 'kill.admin', 'policy.evaluate'],
  developer: [...ACCOUNT, ...READ, ...WORK, ...TOKENS, 'key.read', 'key.create', 'policy.evaluate'],
  auditor: [
    ...ACCOUNT,
    ...READ,
    'audit.checkpoint',
    'user.read',
    'role.read',
    'account.read',
    'key.read',
    'session.read',
    'policy.evaluate',
  ],
  viewer: [...ACCOUNT, ...READ],
  /** It acts for an owner. */
  'agent of a run': ['me.read', 'tool.read', 'tool.call', 'token.issue'],
  /** As no run has one: it holds everything, and only policy is in its way. */
  'agent with everything': ['*'],
  nobody: [],
} as const satisfies Record<string, readonly string[]>
export type RoleName = keyof typeof ROLE_TABLE
export const ROLE_NAMES = Object.keys(ROLE_TABLE) as RoleName[]

export function roleHolds(role: RoleName, capability: string): boolean {
  const patterns: readonly string[] = ROLE_TABLE[role]
  const [area] = capability.split('.')
  return ['*', `${area}.*`, capability].some((covering) => patterns.includes(covering))
}

/**
 * What policy leaves an agent of no run, whatever it holds: it reads, and calls tools, which are decided about as the calls they are. Nobody
 * can tell what such an agent has read, so anything else that it would do comes from data that nobody vouches for.
 */
export function policyLets(role: RoleName, capability: string, effect: string): boolean {
  return role !== 'agent with everything' || effect === 'read' || capability === 'tool.call'
}
