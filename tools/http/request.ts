import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { httpTarget, WebUrl } from '../frame/httpTarget.ts'
import { Answer, answerOptions, RequestHeaders, readAnswer } from './answer.ts'

/** Methods that change nothing, and methods that leave the same state however often they come (RFC 9110, 9.2). */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])
const IDEMPOTENT = new Set([...SAFE, 'PUT', 'DELETE'])

const Method = z
  .string()
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, 'A method is one word, e.g. POST.')
  .toUpperCase()
  .refine((method) => !['CONNECT', 'TRACE', 'TRACK'].includes(method), 'CONNECT, TRACE and TRACK are not sent.')

const Body = z.union([
  z.strictObject({ json: z.unknown() }),
  z.strictObject({ text: z.string() }),
  z.strictObject({ base64: z.base64('A binary body is written in base64.') }),
])

const RequestInput = z.strictObject({
  method: Method,
  url: WebUrl,
  headers: RequestHeaders,
  body: Body.optional(),
  honoursIdempotencyKey: z
    .boolean()
    .default(false)
    .describe(
      'The server is known to treat two requests with one Idempotency-Key as one, so a request whose fate is unknown may be sent again',
    ),
  ...answerOptions,
})
type RequestInput = z.infer<typeof RequestInput>

export const request = operation({
  name: 'http.request',
  summary: 'Send a request of any method',
  description:
    'Every method that may change something carries an Idempotency-Key. Not every server heeds it: unless `honoursIdempotencyKey` says so, a POST or PATCH whose fate a crash left open is not repeated, and a person decides.',
  input: RequestInput,
  output: Answer,
  effect: 'write',
  capability: 'tool.http.write',
  idempotency: {
    kind: 'marker',
    find: async (input) => {
      if (isRepeatable(input)) return undefined
      const { host } = httpTarget(input.url, input.method)
      throw new SomaError(
        'effect_undecided',
        `Whether the ${input.method} to ${host} was carried out can not be told from here. Look there, then say whether to send it again.`,
        { host, method: input.method },
      )
    },
  },
  untrustedOutput: true,
  resource: ({ url, method }) => httpTarget(url, method),
  run: async (input, { fetch, signal, key }) => {
    try {
      const headers = requestHeaders(input, key)
      return await readAnswer(await fetch(input.url, { method: input.method, headers, body: requestBody(input), signal }), input)
    } catch (error) {
      throw isRepeatable(input) ? error : notRepeatable(error)
    }
  },
})

function isRepeatable({ method, honoursIdempotencyKey }: RequestInput): boolean {
  return honoursIdempotencyKey || IDEMPOTENT.has(method)
}

/** A request that was sent and got no clear no may have been carried out: it must not be retried by itself. */
function notRepeatable(error: unknown): unknown {
  const isOpen = SomaError.is(error) && ['tool_failed', 'tool_timeout'].includes(error.code) && error.details.status !== 429
  return isOpen ? new SomaError(error.code, error.message, { ...error.details, retryable: false }, { cause: error }) : error
}

function requestHeaders(input: RequestInput, key: string): [string, string][] {
  const given = Object.entries(input.headers)
  const has = (name: string) => given.some(([one]) => one.toLowerCase() === name)
  if (!SAFE.has(input.method) && !has('idempotency-key')) given.push(['idempotency-key', key])
  if (input.body && 'json' in input.body && !has('content-type')) given.push(['content-type', 'application/json'])
  return given
}

function requestBody({ body }: RequestInput): string | Uint8Array | undefined {
  if (!body) return undefined
  if ('json' in body) return JSON.stringify(body.json ?? null)
  return 'text' in body ? body.text : Buffer.from(body.base64, 'base64')
}
