import { ERROR_CODES, type ErrorCode, SomaError } from '@soma/contracts/errors'
import { databaseFailure } from '@soma/ports/sql/failure'
import type { FastifyError } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'

/** The one place that says which HTTP status a code is. A code that is missing here does not compile. */
export const HTTP_STATUS: Readonly<Record<ErrorCode, number>> = {
  invalid_input: 400,
  unknown_configuration_key: 400,
  unauthenticated: 401,
  mfa_required: 401,
  forbidden: 403,
  policy_denied: 403,
  approval_required: 403,
  killed: 403,
  egress_blocked: 403,
  path_escapes_workspace: 403,
  not_found: 404,
  unknown_tool: 404,
  redacted: 410,
  method_not_allowed: 405,
  conflict: 409,
  stream_conflict: 409,
  cancelled: 409,
  effect_undecided: 409,
  data_directory_in_use: 409,
  port_in_use: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  idempotency_key_reused: 422,
  capsule_invalid: 422,
  signature_invalid: 422,
  digest_mismatch: 422,
  expression_invalid: 422,
  plan_invalid: 422,
  not_a_repository: 422,
  workflow_failed: 422,
  budget_exceeded: 429,
  rate_limited: 429,
  workflow_nondeterministic: 500,
  data_directory_corrupt: 500,
  internal: 500,
  tool_failed: 502,
  policy_unavailable: 503,
  audit_unavailable: 503,
  tool_unavailable: 503,
  dependency_unavailable: 503,
  overloaded: 503,
  shutting_down: 503,
  tool_timeout: 504,
  disk_full: 507,
}

export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

/** RFC 9457 problem details, with what a program needs to act. */
export const Problem = z.object({
  type: z.string().describe('Leads to the page of the code'),
  title: z.string().describe('What the code means'),
  status: z.number().int(),
  detail: z.string().describe('What was wrong, and what to do'),
  instance: z.string().describe('Path of the request'),
  code: z.enum(Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]]),
  details: z.record(z.string(), z.unknown()).describe('Fields for programs; of invalid_input: errors, a list of {path, message}'),
  traceId: z.string().describe('Leads to the log and the trace'),
})
export type Problem = z.infer<typeof Problem>

export function problemOf(error: unknown, request: { instance: string; traceId: string }): Problem {
  const { code, message, details } = asSomaError(error)
  return {
    type: `/errors/${code}`,
    title: ERROR_CODES[code],
    status: HTTP_STATUS[code],
    detail: message,
    instance: request.instance,
    code,
    details,
    traceId: request.traceId,
  }
}

/** Headers that go with a problem: how to authenticate, and when to come back. */
export function problemHeaders(problem: Problem): Record<string, string> {
  const seconds = problem.details.retryAfterSeconds
  return {
    'content-type': PROBLEM_MEDIA_TYPE,
    'cache-control': 'no-store',
    ...(typeof seconds === 'number' && Number.isFinite(seconds) ? { 'retry-after': String(Math.max(1, Math.ceil(seconds))) } : {}),
    ...(problem.status === 401 ? { 'www-authenticate': challengeOf(problem) } : {}),
  }
}

/** How to authenticate: in general (RFC 6750), or further than the caller did (RFC 9470, section 3). */
function challengeOf({ code, details: { maxAgeSeconds } }: Problem): string {
  if (code !== 'mfa_required') return 'Bearer'
  const challenge = 'Bearer error="insufficient_user_authentication", error_description="A second factor is needed", acr_values="mfa"'
  return typeof maxAgeSeconds === 'number' ? `${challenge}, max_age="${maxAgeSeconds}"` : challenge
}

/** Anything that was thrown, as the error that the caller may see. What nobody foresaw is `internal` and tells nothing of itself. */
export function asSomaError(error: unknown): SomaError {
  if (SomaError.is(error)) return error
  if (error instanceof z.ZodError) return invalidInput(error.issues)
  if (hasZodFastifySchemaValidationErrors(error)) return invalidRequest(error)
  return frameworkError(error) ?? databaseFailure(error) ?? unforeseen(error)
}

/** @param place where the input stood: body, querystring, params, headers */
export function invalidInput(issues: readonly { path: readonly PropertyKey[]; message: string }[], place?: string): SomaError {
  const errors = issues.map((issue) => ({ path: issue.path.map(String).join('.'), message: issue.message }))
  const [first] = errors
  const where = [place, first?.path ? `"${first.path}"` : undefined].filter(Boolean).join(' ')
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  return new SomaError('invalid_input', `${where || 'The input'}: ${first?.message ?? 'does not hold'}${more}`, { errors })
}

type RequestValidationError = { validationContext?: string; validation: readonly { instancePath: string; message?: string }[] }

function invalidRequest(error: RequestValidationError): SomaError {
  const issues = error.validation.map(({ instancePath, message }) => ({
    path: instancePath.split('/').filter(Boolean),
    message: message ?? 'does not hold',
  }))
  return invalidInput(issues, error.validationContext)
}

const BY_STATUS: Partial<Record<number, ErrorCode>> = {
  400: 'invalid_input',
  404: 'not_found',
  405: 'method_not_allowed',
  413: 'payload_too_large',
  414: 'invalid_input',
  415: 'unsupported_media_type',
  431: 'invalid_input',
}

/** What Fastify itself refuses: a body that is no JSON, too large, of an unknown type. */
function frameworkError(error: unknown): SomaError | undefined {
  const { statusCode, code, message } = (error ?? {}) as Partial<FastifyError>
  const known = statusCode === undefined ? undefined : BY_STATUS[statusCode]
  const isFastifys = code?.startsWith('FST_') || error instanceof SyntaxError
  return known && isFastifys ? new SomaError(known, message ?? ERROR_CODES[known], {}, { cause: error }) : undefined
}

function unforeseen(cause: unknown): SomaError {
  return new SomaError('internal', 'The platform made a mistake. The trace id leads to the log.', {}, { cause })
}
