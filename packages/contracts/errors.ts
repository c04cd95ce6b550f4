/**
 * An error that somebody can act on. `code` is stable: clients and scripts may depend on it; `message` is for people and says
 * what was wrong, with the value, and what to do. The HTTP status that a code maps to is decided in one place, the kernel's
 * `http/problem.ts`.
 */
export class SomaError extends Error {
  readonly code: ErrorCode
  /** Fields a machine needs to act, safe to show to the caller. Never secrets. */
  readonly details: Record<string, unknown>

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'SomaError'
    this.code = code
    this.details = details
  }

  static is(error: unknown, code?: ErrorCode): error is SomaError {
    return error instanceof SomaError && (code === undefined || error.code === code)
  }
}

/** Every code the platform answers with, and what it means. The reference page is generated from this table. */
export const ERROR_CODES = {
  invalid_input: 'What was sent does not have the shape that was asked for.',
  unknown_configuration_key: 'A configuration key is not one the platform knows.',
  not_found: 'Nothing by that name exists in this tenant.',
  redacted: 'The content was taken out of the ledger; its digest is all that is left.',
  conflict: 'The change contradicts the present state.',
  idempotency_key_reused: 'The Idempotency-Key was used before with another request.',
  unauthenticated: 'No valid credentials came with the request.',
  mfa_required:
    'The action needs a second factor that was shown lately. Show one, and send the request again with the token that it gives.',
  forbidden: 'The caller lacks the capability that the action needs.',
  policy_denied: 'Policy decided that the action must not happen.',
  approval_required: 'Policy asks that a person approves the action first.',
  policy_unavailable: 'Policy could not be asked, so the answer is no.',
  audit_unavailable: 'The journal could not be written, so the action did not happen.',
  killed: 'A kill switch covers the action.',
  budget_exceeded: 'The budget has too little left for the action.',
  method_not_allowed: 'The address exists, but does not answer to that method.',
  payload_too_large: 'The request body is larger than the server takes.',
  unsupported_media_type: 'The request body has a media type that the address does not take.',
  overloaded: 'The server has too much to do at the moment; try again after the time given.',
  rate_limited: 'Too many requests; try again after the time given.',
  capsule_invalid: 'The capsule does not hold to the format.',
  signature_invalid: 'A signature does not match what it signs.',
  digest_mismatch: 'Content differs from the digest it was stored or asked for under.',
  expression_invalid: 'An expression does not parse or can not be evaluated.',
  plan_invalid: 'The plan does not hold: a cycle, an unknown tool or persona, or a budget that can not be met.',
  unknown_tool: 'No adapter declares an operation by that name.',
  tool_failed: 'A tool answered with an error.',
  tool_timeout: 'A tool did not answer in its time.',
  tool_unavailable: 'What a tool needs is not on this machine or can not be reached.',
  egress_blocked: 'The egress guard does not let requests go to that address.',
  path_escapes_workspace: 'A path leads out of the workspace it must stay in.',
  not_a_repository: 'The path holds no git repository.',
  effect_undecided: 'A crash left it open whether an effect happened, and the operation can not tell; a person must decide.',
  workflow_nondeterministic: 'A workflow did something else than its record says.',
  workflow_failed: 'A workflow ended with an error.',
  cancelled: 'The run was cancelled.',
  stream_conflict: 'Another writer appended to the stream first.',
  data_directory_in_use: 'Another server owns the data directory.',
  data_directory_corrupt: 'The data directory can not be read as one that the platform made.',
  port_in_use: 'Another program listens on the port.',
  disk_full: 'The disk has no space left.',
  dependency_unavailable: 'A server that the platform depends on does not answer.',
  shutting_down: 'The server is stopping and takes no new work.',
  internal: 'The platform made a mistake. The trace id leads to the log.',
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** What may go away by itself, so that trying again makes sense. Everything else needs a change or a person first. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'tool_failed',
  'tool_timeout',
  'tool_unavailable',
  'dependency_unavailable',
  'rate_limited',
  'policy_unavailable',
  'audit_unavailable',
  'internal',
])

/** True when another attempt may succeed. A tool that knows better says so in `details.retryable`. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof SomaError)) return true
  return typeof error.details.retryable === 'boolean' ? error.details.retryable : PASSING.has(error.code)
}
