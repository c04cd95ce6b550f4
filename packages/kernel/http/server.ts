import { randomUUID } from 'node:crypto'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import swaggerUi from '@fastify/swagger-ui'
import underPressure from '@fastify/under-pressure'
import websocket from '@fastify/websocket'
import { SomaError } from '@soma/contracts/errors'
import fastify, { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import type { RunLabels } from '../actions/run-labels.ts'
import type { Config } from '../config/schema.ts'
import { listen } from '../lifecycle/listen.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import { actionOf, type HttpGate, type RouteAction } from './action.ts'
import type { Dependency } from './dependencies.ts'
import { forward } from './forward.ts'
import type { IdempotencyStore } from './idempotency.ts'
import { addIdempotentWrites } from './idempotent-writes.ts'
import { allowedMethods, type KnownRoute } from './method-not-allowed.ts'
import { addOpenApi, assertUniqueOperations } from './openapi.ts'
import { type About, addPlatformRoutes } from './platform-routes.ts'
import { problemHeaders, problemOf } from './problem.ts'
import { assertMayBePublic } from './public-routes.ts'
import { type Authenticate, addRequestLife, callerOf, isAuthenticated, isPlatform, isProbe, pathOf, principalOf } from './request-life.ts'
import type { Needs, Service, ServiceApp, ServiceContext } from './service.ts'

export interface ServerParts {
  config: Config
  about: Omit<About, 'instance'>
  /** Those of this process. */
  services: readonly Service[]
  contextFor(service: Service): ServiceContext & Needs
  authenticate: Authenticate
  gate: HttpGate
  /** What agents have read, which goes with their requests. */
  runLabels: RunLabels
  telemetry: { metrics: Metrics; tracing: Tracing }
  logger: FastifyBaseLogger
  idempotency: IdempotencyStore
  /** What /ready asks, by name. */
  dependencies?: readonly Dependency[]
}

export interface Server {
  app: ServiceApp
  /** Every route of this process, also those that no document shows. */
  routes: readonly KnownRoute[]
  /** True when a route of this process answers at the path. */
  serves(path: string): boolean
  about: About
  /** Starts the services' own work, then takes requests. Returns the URL. */
  listen(): Promise<string>
  /** Takes no new requests, ends event streams and sockets, waits for what is under way. */
  close(): Promise<void>
}

const DOCUMENTATION: RouteAction = { name: 'http.docs.read', capability: 'public', effect: 'read', public: true }
/** For answers that are data. Pages set their own. */
const CONTENT_SECURITY_POLICY = "default-src 'none';frame-ancestors 'none'"
const HOUR = 3_600_000

/** Composes services into one HTTP server. Every route passes the same road: trace, authentication, rate limit, gate, idempotency. */
export async function createServer(parts: ServerParts): Promise<Server> {
  const { config, services, telemetry } = parts
  const about: About = { ...parts.about, instance: randomUUID() }
  const stopping = new AbortController()
  const routes: KnownRoute[] = []
  const app = newApp(config, parts.logger)
  app.decorate('stopping', stopping.signal)

  // The pages that a plugin brings can't say what they do; nothing else is registered while they are.
  let isDocumentation = false
  app.addHook('onRoute', (route) => {
    const action = isDocumentation ? DOCUMENTATION : actionOf(route)
    const methods = [route.method].flat()
    if (action.public) for (const method of methods) assertMayBePublic(method, route.url)
    route.config = { ...route.config, action }
    routes.push({ url: route.url, methods })
  })
  app.setErrorHandler(answerProblem)
  addRequestLife(app, { ...parts, ...telemetry })
  await addProtection(app, config)
  // The gateway is the one door: what it does not serve itself, it sends on.
  addNotFound(app, routes, services.some(({ name }) => name === 'gateway-api') ? config.peerUrl : undefined)
  await app.register(websocket, { options: { maxPayload: config.http.bodyLimitBytes } })
  addIdempotentWrites(app, parts.idempotency, principalOf)
  await addOpenApi(app, { version: about.version, tags: services.map(({ name, summary }) => ({ name, description: summary })) })
  isDocumentation = true
  await addDocumentation(app)
  isDocumentation = false

  const started: (() => Promise<void>)[] = []
  await app.register(async (scope) => {
    addPlatformRoutes(scope.withTypeProvider<ZodTypeProvider>(), {
      about,
      dependencies: parts.dependencies ?? [],
      metrics: telemetry.metrics,
      services: services.map((service) => service.name),
    })
  })
  for (const service of services) {
    const context = parts.contextFor(service)
    await app.register(async (scope) => {
      scope.addHook('onRoute', (route) => {
        route.config = { ...route.config, service: service.name }
      })
      await service.routes(scope.withTypeProvider<ZodTypeProvider>(), context)
    })
    if (service.start) started.push(async () => service.start?.(context))
  }
  app.get(
    '/openapi.json',
    { config: { action: { ...DOCUMENTATION, name: 'http.openapi.read' }, rateLimit: false }, schema: { hide: true } },
    async () => app.swagger(),
  )
  await app.ready()
  assertUniqueOperations(app.swagger() as unknown as Record<string, unknown>)
  const sweep = setInterval(() => void sweepKeys(parts), HOUR).unref()

  return {
    app,
    about,
    routes,
    serves: (path) => allowedMethods(routes, path).length > 0,
    listen: async () => {
      for (const start of started) await start()
      return listen(app, config.http)
    },
    close: async () => {
      clearInterval(sweep)
      stopping.abort()
      await app.close()
    },
  }
}

function newApp(config: Config, logger: FastifyBaseLogger): ServiceApp {
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    bodyLimit: config.http.bodyLimitBytes,
    requestTimeout: config.http.requestTimeoutSeconds * 1000,
    trustProxy: config.http.trustProxy,
    // A service may wait for a slow disk or server while it starts; what really hangs is seen by whoever started us.
    pluginTimeout: 0,
    // Our own hook answers then, with a problem instead of a bare line.
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: ({ headers }) => {
      const given = headers['x-request-id']
      return typeof given === 'string' && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID()
    },
    routerOptions: { maxParamLength: 500 },
    frameworkErrors: answerProblem,
  })
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  return app.withTypeProvider<ZodTypeProvider>()
}

function addNotFound(app: ServiceApp, routes: readonly KnownRoute[], peerUrl: string | undefined): void {
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, async (request, reply) => {
    const path = pathOf(request)
    const allow = allowedMethods(routes, path)
    if (allow.length === 0 && peerUrl) return forward(request, reply, peerUrl)
    if (allow.length === 0) throw new SomaError('not_found', `Nothing is at ${path}. The addresses are listed in /openapi.json.`, { path })
    throw new SomaError('method_not_allowed', `${path} does not answer to ${request.method}; it answers to ${allow.join(', ')}.`, { allow })
  })
}

function answerProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error, { instance: pathOf(request), traceId: request.traceId })
  if (problem.code === 'internal') request.log.error({ err: error }, 'a request failed for a reason nobody foresaw')
  const allow = problem.code === 'method_not_allowed' ? { allow: (problem.details.allow as string[]).join(', ') } : {}
  void reply
    .code(problem.status)
    .headers({ ...problemHeaders(problem), ...allow })
    .serializer(String)
    .send(JSON.stringify(problem))
}

async function addProtection(app: ServiceApp, config: Config): Promise<void> {
  // helmet puts the policy together anew for every request, at a tenth of all our time; it never changes.
  await app.register(helmet, { contentSecurityPolicy: false })
  app.addHook('onRequest', (_request, reply, done) => {
    reply.header('content-security-policy', CONTENT_SECURITY_POLICY)
    done()
  })
  await app.register(underPressure, {
    maxEventLoopDelay: config.http.maxEventLoopDelayMilliseconds,
    pressureHandler: async (request) => {
      // What the platform asks of itself belongs to work that was taken already; refused, policy could not be asked and all would be denied.
      if (isProbe(request) || isPlatform(request)) return
      throw new SomaError('overloaded', 'The server has too much to do at the moment. Ask again soon.', { retryAfterSeconds: 2 })
    },
  })
  const { perMinute, unauthenticatedPerMinute } = config.rateLimit
  await app.register(rateLimit, {
    timeWindow: 60_000,
    max: (request) => (isAuthenticated(request) ? perMinute : unauthenticatedPerMinute),
    keyGenerator: callerOf,
    // What the platform asks of itself was counted where it came in, and a run may need many calls.
    allowList: isPlatform,
    enableDraftSpec: true,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new SomaError('rate_limited', `More than ${max} requests in a minute. Ask again in ${Math.ceil(ttl / 1000)} s.`, {
        limit: max,
        retryAfterSeconds: Math.ceil(ttl / 1000),
      }),
  })
}

async function addDocumentation(app: ServiceApp): Promise<void> {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: true,
    uiConfig: { validatorUrl: null, persistAuthorization: false, displayOperationId: true },
    theme: { title: 'SomaAgent API' },
  })
}

async function sweepKeys({ idempotency, logger }: ServerParts): Promise<void> {
  await idempotency.deleteExpired().catch((error) => logger.warn({ err: error }, 'old idempotency keys could not be deleted'))
}
