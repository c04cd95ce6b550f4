import { setTimeout as pass } from 'node:timers/promises'
import { AISDKError, APICallError } from '@ai-sdk/provider'
import { SomaError } from '@soma/contracts/errors'

const MOST_ATTEMPTS = 3
const FIRST_PAUSE_MILLISECONDS = 200
/** A server that wants us to wait longer than this gets no second attempt: the caller knows better what to do meanwhile. */
const LONGEST_PAUSE_MILLISECONDS = 5000
const MOST_CHARACTERS = 500

export interface FailureContext {
  url: string
  apiKey?: string
  model?: string
  list(): Promise<string[]>
}

/**
 * Tries again while the server can't be reached, or says that it has too much to do. What was answered once is never asked again.
 * @throws what the last attempt threw
 */
export async function retrying<Answer>(signal: AbortSignal, attempt: () => PromiseLike<Answer>): Promise<Answer> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      const pause = failures < MOST_ATTEMPTS && isWorthRetrying(error) ? pauseAfter(error, failures) : Number.POSITIVE_INFINITY
      if (pause > LONGEST_PAUSE_MILLISECONDS) throw error
      await pass(pause, undefined, { signal })
    }
  }
}

function isWorthRetrying(error: unknown): boolean {
  const status = statusOf(error)
  return status === undefined ? connectionCause(error) !== undefined : status === 429 || status === 503
}

function pauseAfter(error: unknown, failures: number): number {
  const asked = retryAfterOf(error)
  return asked === undefined ? FIRST_PAUSE_MILLISECONDS * 4 ** (failures - 1) : asked * 1000
}

/** An answer that is no success, in the shape that the vendor's client throws. */
export async function failureOf(answer: Response): Promise<APICallError> {
  const text = await answer.text()
  return new APICallError({
    message: messageIn(text) ?? answer.statusText,
    url: answer.url,
    requestBodyValues: undefined,
    statusCode: answer.status,
    responseHeaders: Object.fromEntries(answer.headers),
    responseBody: text,
  })
}

/** The error for our callers: with what the server said, without the API key and without what was asked. */
export async function explainFailure(error: unknown, context: FailureContext): Promise<unknown> {
  if (error instanceof SomaError) return error
  const cause = connectionCause(error)
  const server = `The model server at ${context.url}`
  if (cause) {
    const sentence = `${server} can not be reached, or broke off: ${cause.message || cause.code}. Is it running, and SOMA_MODELS_URL right?`
    return new SomaError('dependency_unavailable', sentence, { url: context.url }, { cause })
  }
  if (error instanceof Error && !AISDKError.isInstance(error) && !(error instanceof SyntaxError)) return error
  const said = withoutSecrets(saidBy(error), context.apiKey)
  const status = statusOf(error)
  if (status === undefined || status < 400)
    return new SomaError(
      'dependency_unavailable',
      `${server} answers with something that is not the OpenAI API, or an error in it: ${said}`,
      { url: context.url },
    )
  const details = { status, ...present({ requestId: requestIdOf(error), retryAfterSeconds: retryAfterOf(error) }) }
  switch (status) {
    case 400:
    case 413:
    case 422:
      return new SomaError('invalid_input', `${server} refuses the request: ${said}`, details)
    case 401:
    case 403:
      return new SomaError('dependency_unavailable', `${server} refuses the API key: ${said}. Set SOMA_MODELS_API_KEY.`, {
        ...details,
        retryable: false,
      })
    case 404:
      return explainNotFound(said, details, context)
    case 429:
      return new SomaError('rate_limited', `${server} takes no more requests at the moment: ${said}`, details)
    default:
      return new SomaError('dependency_unavailable', `${server} answers ${status}: ${said}`, details)
  }
}

/** The same status says that there is no such model, and that the address leads nowhere. */
async function explainNotFound(said: string, details: Record<string, unknown>, { url, model, list }: FailureContext): Promise<SomaError> {
  const models = model === undefined ? undefined : await list().catch(() => undefined)
  if (!models)
    return new SomaError('dependency_unavailable', `${url} leads to no OpenAI API: ${said}. Does SOMA_MODELS_URL end with /v1?`, {
      ...details,
      retryable: false,
    })
  const others = models.includes(model as string) ? said : `It has: ${models.join(', ')}.`
  return new SomaError('not_found', `The model server can't use the model "${model}" for this. ${others}`, { ...details, model, models })
}

/** What broke the connection, when it was that: the client wraps what `fetch` throws, and a stream that ends early throws it bare. */
function connectionCause(error: unknown): (Error & { code: unknown }) | undefined {
  if (statusOf(error) !== undefined || !(error instanceof Error && error.cause instanceof Error)) return undefined
  return 'code' in error.cause ? error.cause : connectionCause(error.cause)
}

/** In the middle of a stream there is no status any more: servers put it into the error's `code`. */
function statusOf(error: unknown): number | undefined {
  if (APICallError.isInstance(error)) return error.statusCode
  const { code } = Object(error) as { code?: unknown }
  return typeof code === 'number' && code >= 400 ? code : undefined
}

function requestIdOf(error: unknown): string | undefined {
  const headers = APICallError.isInstance(error) ? error.responseHeaders : undefined
  return headers?.['x-request-id'] ?? headers?.['request-id']
}

/** In seconds: the header holds them, or a date. */
function retryAfterOf(error: unknown): number | undefined {
  const header = APICallError.isInstance(error) ? error.responseHeaders?.['retry-after'] : undefined
  if (header === undefined) return undefined
  const seconds = Number(header)
  const wait = Number.isFinite(seconds) ? seconds : (Date.parse(header) - Date.now()) / 1000
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined
}

function saidBy(error: unknown): string {
  if (APICallError.isInstance(error)) return messageIn(error.responseBody ?? '') ?? error.message
  if (error instanceof Error) return error.message
  return messageIn(JSON.stringify({ error })) ?? String(error)
}

/** OpenAI's `{"error": {"message": …}}`, and the shapes that other servers give it. */
function messageIn(body: string): string | undefined {
  try {
    const { error, message } = JSON.parse(body) as { error?: { message?: string } | string; message?: string }
    return typeof error === 'string' ? error : (error?.message ?? message)
  } catch {
    return body.trim() || undefined
  }
}

function withoutSecrets(text: string, apiKey: string | undefined): string {
  const shown = apiKey ? text.replaceAll(apiKey, '[secret]') : text
  return shown.slice(0, MOST_CHARACTERS).replace(/[.\s]+$/, '')
}

function present(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
