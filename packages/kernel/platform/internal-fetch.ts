import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { InjectOptions } from 'fastify'
import type { TokenIssuer } from '../auth/tokens.ts'
import type { ServiceApp } from '../http/service.ts'
import { traceHeaders } from '../telemetry/tracing.ts'

const TTL_SECONDS = 300
/** Statuses whose answers have no body; `Response` refuses one. */
const BODILESS = new Set([204, 205, 304])

/**
 * `fetch` from one service to another, signed with a short-lived token of the principal. A callee in this process is called without the
 * network; one elsewhere by its address.
 */
export function createInternalFetch(parts: {
  app: () => ServiceApp
  tokens: TokenIssuer
  audience: string
  addressOf(path: string): string | undefined
}) {
  const issued = new Map<string, { token: Promise<string>; until: number }>()

  function tokenFor(principal: Principal): Promise<string> {
    const key = JSON.stringify(principal)
    const known = issued.get(key)
    if (known && known.until > Date.now()) return known.token
    if (issued.size > 10_000) issued.clear()
    const token = parts.tokens.issue(principal, { audience: parts.audience, ttlSeconds: TTL_SECONDS })
    issued.set(key, { token, until: Date.now() + (TTL_SECONDS - 60) * 1000 })
    token.catch(() => issued.delete(key))
    return token
  }

  return (principal: Principal): typeof fetch =>
    async (input, init) => {
      const request = new Request(input instanceof Request ? input : new URL(String(input), 'http://soma.internal'), init)
      const { pathname, search } = new URL(request.url)
      request.headers.set('authorization', `Bearer ${await tokenFor(principal)}`)
      for (const [name, value] of Object.entries(traceHeaders())) request.headers.set(name, value)
      const address = parts.addressOf(pathname)
      if (address) return fetch(new Request(new URL(pathname + search, address), request))
      const body = Buffer.from(await request.arrayBuffer())
      const answer = await parts.app().inject({
        method: request.method as InjectOptions['method'],
        url: pathname + search,
        headers: Object.fromEntries(request.headers),
        signal: request.signal,
        ...(body.length === 0 ? {} : { payload: body }),
      })
      return new Response(BODILESS.has(answer.statusCode) ? null : new Uint8Array(answer.rawPayload), {
        status: answer.statusCode,
        headers: headersOf(answer.headers),
      })
    }
}

function headersOf(headers: Record<string, unknown>): Headers {
  const result = new Headers()
  for (const [name, value] of Object.entries(headers)) {
    for (const each of [value ?? []].flat()) result.append(name, String(each))
  }
  return result
}

/** The platform's own processes, within a tenant. */
export function servicePrincipal(service: string, tenant: string): Principal {
  return { id: `service:${service}`, kind: 'service', tenant, capabilities: ['*'], within: [] }
}

/** The body of an answer of another service. @throws the SomaError that the service answered with */
export async function bodyOf<Body>(answer: Promise<Response>): Promise<Body> {
  const response = await answer
  const body = (await response.json().catch(() => undefined)) as
    | { code?: string; detail?: string; details?: Record<string, unknown> }
    | undefined
  if (response.ok) return body as Body
  throw new SomaError(
    (body?.code ?? 'dependency_unavailable') as SomaError['code'],
    body?.detail ?? `A service answered with status ${response.status}.`,
    body?.details ?? {},
  )
}
