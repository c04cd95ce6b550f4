import { ERROR_CODES, type ErrorCode, SomaError } from '@soma/contracts/errors'
import createFetchClient, { type Client as FetchClient, type Middleware } from 'openapi-fetch'
import type { paths } from './schema.d.ts'

export interface ClientOptions {
  /** Where the platform is, e.g. http://127.0.0.1:8000 */
  baseUrl: string
  /** An API key (`soma_…`) or a token; a function is asked before every request, for tokens that expire. */
  apiKey: string | (() => Promise<string>)
  fetch?: typeof fetch
}

/** The API, typed from its OpenAPI document. What is not answered with success is thrown as SomaError. */
export type Client = FetchClient<paths>

export function createClient({ baseUrl, apiKey, fetch: send = fetch }: ClientOptions): Client {
  const client = createFetchClient<paths>({
    baseUrl,
    fetch: (request) => sendPatiently(request, send),
  })
  client.use(
    {
      onRequest: async ({ request }) =>
        request.headers.set('authorization', `Bearer ${typeof apiKey === 'string' ? apiKey : await apiKey()}`),
    },
    problemsAsErrors(baseUrl),
  )
  return client
}

/**
 * The body of a call's answer.
 * @throws the SomaError that the platform answered with; `dependency_unavailable` when it can not be reached
 */
export async function answerOf<Body>(call: Promise<{ data?: Body }>): Promise<Body> {
  return (await call).data as Body
}

/** Times that a server without time is asked again. */
const MOST_ATTEMPTS = 5

/** Asks again after the time that the server says when it had no time for the request: nothing of it happened then. */
async function sendPatiently(request: Request, send: typeof fetch): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const answer = await send(attempt < MOST_ATTEMPTS ? request.clone() : request)
    const seconds = Number(answer.headers.get('retry-after') ?? Number.NaN)
    if (attempt === MOST_ATTEMPTS || !(seconds <= 10) || !['overloaded', 'rate_limited'].includes(await codeOf(answer))) return answer
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
  }
}

async function codeOf(answer: Response): Promise<string> {
  return parseProblem(await answer.clone().text())?.code ?? ''
}

function problemsAsErrors(baseUrl: string): Middleware {
  return {
    async onResponse({ response }) {
      if (!response.ok) throw await errorOf(response)
    },
    onError({ error: cause }) {
      if (cause instanceof SomaError || (cause as Error).name === 'AbortError') return cause as Error
      return new SomaError('dependency_unavailable', `The platform at ${baseUrl} can not be reached.`, { url: baseUrl }, { cause })
    },
  }
}

async function errorOf(response: Response): Promise<SomaError> {
  const text = await response.text()
  const problem = parseProblem(text)
  if (problem) return new SomaError(problem.code, problem.detail, { ...problem.details, traceId: problem.traceId })
  return new SomaError('dependency_unavailable', `${response.url} answered with status ${response.status} and no problem document.`, {
    url: response.url,
    status: response.status,
  })
}

interface Problem {
  code: ErrorCode
  detail: string
  details: Record<string, unknown>
  traceId: string
}

function parseProblem(text: string): Problem | undefined {
  try {
    const problem = JSON.parse(text) as Problem
    return Object.hasOwn(ERROR_CODES, problem.code) ? problem : undefined
  } catch {
    // A proxy in between answers with pages of its own.
    return undefined
  }
}
