import type { ErrorCode } from '@soma/contracts/errors'

/** What scripts may rely on. */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3, denied: 4 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

const UNREACHABLE: ReadonlySet<ErrorCode> = new Set(['dependency_unavailable', 'shutting_down'])
const DENIED: ReadonlySet<ErrorCode> = new Set([
  'unauthenticated',
  'forbidden',
  'policy_denied',
  'policy_unavailable',
  'approval_required',
  'killed',
  'budget_exceeded',
  'egress_blocked',
])

export function exitCodeOf(code: ErrorCode): ExitCode {
  if (UNREACHABLE.has(code)) return EXIT.unreachable
  return DENIED.has(code) ? EXIT.denied : EXIT.failed
}
