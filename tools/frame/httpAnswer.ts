import { SomaError } from '@soma/contracts/errors'

/** Statuses that may be gone at the next attempt (RFC 9110, RFC 6585). */
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504])
const EXCERPT_BYTES = 2000

/**
 * Lets a success pass. What a vendor needs to be asked about it stays: status, request id, retry-after, and the beginning of its text.
 * @throws tool_failed
 */
export async function requireSuccess(response: Response): Promise<Response> {
  if (response.ok) return response
  const retryAfterSeconds = retryAfter(response.headers)
  const wait = retryAfterSeconds === undefined ? '' : ` It asks to wait ${retryAfterSeconds} seconds.`
  const { bytes } = await readBody(response, EXCERPT_BYTES)
  throw new SomaError(
    'tool_failed',
    `${new URL(response.url).host} answered ${response.status} ${response.statusText}.${wait}`.replace(' .', '.'),
    {
      status: response.status,
      retryable: PASSING.has(response.status),
      ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
      ...requestId(response.headers),
      answer: bytes.toString('utf8'),
    },
  )
}

/** The first `maxBytes` of a body; what follows is not fetched. */
export async function readBody(response: Response, maxBytes: number): Promise<{ bytes: Buffer; truncated: boolean }> {
  const chunks: Uint8Array[] = []
  let size = 0
  // Leaving the loop cancels the stream.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    chunks.push(chunk)
    size += chunk.byteLength
    if (size > maxBytes) break
  }
  return { bytes: Buffer.concat(chunks).subarray(0, maxBytes), truncated: size > maxBytes }
}

/** @throws tool_failed when it is not JSON */
export function parseJson(text: string, response: Response): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const host = new URL(response.url).host
    const type = response.headers.get('content-type') ?? 'no media type'
    throw new SomaError(
      'tool_failed',
      `${host} answered with something that is not JSON (${type}): ${(error as Error).message}`,
      { status: response.status, retryable: false, ...requestId(response.headers), answer: text.slice(0, EXCERPT_BYTES) },
      { cause: error },
    )
  }
}

/** Seconds to wait: the header is a number of seconds or a date. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim()
  if (!value) return undefined
  if (/^\d+$/.test(value)) return Number(value)
  const at = Date.parse(value)
  return Number.isNaN(at) ? undefined : Math.max(0, Math.ceil((at - Date.now()) / 1000))
}

function requestId(headers: Headers): { requestId?: string } {
  const id = headers.get('x-request-id') ?? headers.get('request-id') ?? headers.get('x-amzn-requestid')
  return id ? { requestId: id } : {}
}
