import { SomaError } from '@soma/contracts/errors'
import type { Request } from 'playwright-core'

const SIMPLE_METHODS = new Set(['GET', 'HEAD', 'POST'])
const SIMPLE_TYPES = new Set(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain'])
/** Headers that the browser sets or that any page may set (Fetch, "CORS-safelisted request-header"). `sec-…` is the browser's too. */
const SIMPLE_HEADERS = new Set([
  'accept',
  'accept-language',
  'cache-control',
  'content-language',
  'dnt',
  'origin',
  'pragma',
  'priority',
  'range',
  'referer',
  'upgrade-insecure-requests',
  'user-agent',
])

/**
 * Asks another origin whether it takes what a page wants to send it, where the Fetch standard has the browser ask (CORS preflight).
 * Playwright answers the browser's own question with yes, whoever is asked.
 * @throws tool_failed when it does not
 */
export async function askOtherOrigin(request: Request, outside: typeof fetch, signal: AbortSignal): Promise<void> {
  const headers = request.headers()
  const method = request.method()
  const { origin, host } = new URL(request.url())
  if (!headers.origin || headers.origin === origin) return
  const unusual = Object.keys(headers).filter((name) => isUnusual(name, headers[name] ?? ''))
  if (SIMPLE_METHODS.has(method) && unusual.length === 0) return

  const answer = await outside(request.url(), {
    method: 'OPTIONS',
    headers: {
      origin: headers.origin,
      'access-control-request-method': method,
      ...(unusual.length > 0 && { 'access-control-request-headers': unusual.sort().join(',') }),
    },
    redirect: 'error',
    signal,
  })
  await answer.body?.cancel()
  const allows = (name: string, value: string) => {
    const listed = (answer.headers.get(`access-control-allow-${name}`) ?? '').toLowerCase().split(/\s*,\s*/)
    return listed.includes('*') || listed.includes(value.toLowerCase())
  }
  const isTaken =
    answer.ok &&
    allows('origin', headers.origin) &&
    (SIMPLE_METHODS.has(method) || allows('methods', method)) &&
    unusual.every((name) => allows('headers', name))
  if (isTaken) return
  throw new SomaError('tool_failed', `${host} does not take such a ${method} request from pages of ${headers.origin}.`, {
    rule: 'cross_origin_request',
  })
}

function isUnusual(name: string, value: string): boolean {
  if (name === 'content-type') return !SIMPLE_TYPES.has(value.split(';')[0]?.trim().toLowerCase() ?? '')
  return !SIMPLE_HEADERS.has(name) && !name.startsWith('sec-')
}
