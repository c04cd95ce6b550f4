import { context as activeContext, type Context, type Span, SpanStatusCode } from '@opentelemetry/api'
import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { RunLabels } from '../actions/run-labels.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { TENANT_ATTRIBUTE, type Tracing, traceparentOf } from '../telemetry/tracing.ts'
import { type HttpGate, passGate } from './action.ts'

/** Who sent the request, by its headers. Throws `unauthenticated` when they hold no valid credentials. */
export type Authenticate = (headers: { authorization?: string }) => Promise<Principal>

interface Life {
  span: Span
  context: Context
  startedAt: number
  principal?: Principal
  refusal?: unknown
  isOver?: boolean
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborts when the server begins to stop. */
    stopping: AbortSignal
  }
  interface FastifyRequest {
    life: Life | undefined
    /** Who asks. Only on routes that are not public; reading it on a public one throws. */
    readonly principal: Principal
    readonly traceId: string
  }
}

export function principalOf(request: FastifyRequest): Principal {
  const principal = request.life?.principal
  if (principal) return principal
  throw new SomaError('unauthenticated', 'The request shows no credentials.')
}

/** Key of the rate limit: the principal, or the address of who shows no valid credentials. */
export function callerOf(request: FastifyRequest): string {
  const principal = request.life?.principal
  return principal ? `${principal.tenant}/${principal.id}` : request.ip
}

export function isAuthenticated(request: FastifyRequest): boolean {
  return request.life?.principal !== undefined
}

/**
 * What happens to every request, in order: trace begins → refused when the server stops → authenticated → (rate limit) → without
 * credentials refused before the body is read → body → gate → handler → counted, logged, trace ends.
 */
export function addRequestLife(
  app: FastifyInstance,
  parts: { authenticate: Authenticate; gate: HttpGate; runLabels: RunLabels; metrics: Metrics; tracing: Tracing },
): void {
  app.decorateRequest('life', undefined)
  app.decorateRequest('principal', { getter: requestPrincipal })
  app.decorateRequest('traceId', { getter: requestTraceId })

  app.addHook('onRequest', (request, reply, done) => {
    const { span, context } = parts.tracing.startRequest(`${request.method} ${routeOf(request)}`, request.headers)
    request.life = { span, context, startedAt: performance.now() }
    reply.header('x-request-id', request.id)
    reply.header('traceparent', traceparentOf(span))
    activeContext.with(context, done)
  })

  app.addHook('onRequest', async (request) => {
    if (app.stopping.aborted && !isProbe(request))
      throw new SomaError('shutting_down', 'The server is stopping and takes no new work. Ask again soon.', { retryAfterSeconds: 5 })
    await identify(request, parts.authenticate)
  })

  app.addHook('preParsing', async (request) => {
    if (request.is404 || isPublic(request) || request.life?.principal) return
    throw request.life?.refusal ?? new SomaError('unauthenticated', 'The request shows no credentials.')
  })

  // Reading the body loses the active context: its events come from the socket, not from us.
  app.addHook('preValidation', (request, _reply, done) => {
    if (request.life) activeContext.with(request.life.context, done)
    else done()
  })

  app.addHook('preHandler', async (request, reply) => {
    if (request.is404 || isPublic(request)) return
    const { action } = request.routeOptions.config
    if (!action) throw new SomaError('forbidden', 'The route does not say what it does, so it is not served.')
    await passGate(parts, action, principalOf(request), request)
    if (request.ws) end(request, 101, reply)
  })

  const end = (request: FastifyRequest, status: number, reply?: FastifyReply) => endLife(request, status, parts.metrics, reply)
  app.addHook('onResponse', async (request, reply) => end(request, reply.statusCode, reply))
  // 499: the client left before its answer; nginx's number, as HTTP has none.
  app.addHook('onRequestAbort', async (request) => end(request, 499))
}

/** True for the platform's own processes: only its own key signs tokens with such a subject. */
export function isPlatform(request: FastifyRequest): boolean {
  const principal = request.life?.principal
  return principal?.kind === 'service' && principal.id.startsWith('service:')
}

function requestPrincipal(this: FastifyRequest): Principal {
  return principalOf(this)
}

function requestTraceId(this: FastifyRequest): string {
  return this.life?.span.spanContext().traceId ?? ''
}

async function identify(request: FastifyRequest, authenticate: Authenticate): Promise<void> {
  const { life } = request
  if (!life || request.is404 || isPublic(request)) return
  try {
    life.principal = await authenticate(request.headers)
    life.span.setAttribute(TENANT_ATTRIBUTE, life.principal.tenant)
    life.span.setAttribute('enduser.id', life.principal.id)
  } catch (error) {
    // Thrown after the rate limit, which counts who shows nothing valid by address.
    life.refusal = error
  }
}

function isPublic(request: FastifyRequest): boolean {
  return request.routeOptions.config.action?.public === true
}

const PROBES = new Set(['/health', '/ready', '/metrics', '/version'])
/** Probes are answered also under load and while stopping. */
export function isProbe(request: FastifyRequest): boolean {
  return PROBES.has(request.routeOptions.url ?? '')
}

function routeOf(request: FastifyRequest): string {
  return request.routeOptions.url ?? 'unmatched'
}

function endLife(request: FastifyRequest, status: number, metrics: Metrics, reply?: FastifyReply): void {
  const { life } = request
  if (!life || life.isOver) return
  life.isOver = true
  const seconds = (performance.now() - life.startedAt) / 1000
  const route = routeOf(request)
  const service = request.routeOptions.config?.service ?? 'platform'
  metrics.observeRequest({ service, route, method: request.method, status, seconds })
  life.span.setAttributes({ 'http.request.method': request.method, 'http.route': route, 'http.response.status_code': status })
  if (status >= 500) life.span.setStatus({ code: SpanStatusCode.ERROR })
  life.span.end()
  const log = reply?.log ?? request.log
  const line = {
    trace_id: life.span.spanContext().traceId,
    span_id: life.span.spanContext().spanId,
    service,
    method: request.method,
    route,
    path: pathOf(request),
    status,
    ms: Math.round(seconds * 1e5) / 100,
    tenant: life.principal?.tenant,
    principal: life.principal?.id,
  }
  if (isProbe(request)) log.debug(line, 'request')
  else log.info(line, 'request')
}

/** Without the query, which may hold what does not belong in a log or an error. */
export function pathOf(request: FastifyRequest): string {
  const end = request.url.indexOf('?')
  return end === -1 ? request.url : request.url.slice(0, end)
}
