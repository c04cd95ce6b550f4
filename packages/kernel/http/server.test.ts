import { connect } from 'node:net'
import { SomaError } from '@soma/contracts/errors'
import { afterEach, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Config } from '../config/schema.ts'
import type { GateRequest } from '../gate/gate-request.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createTracing } from '../telemetry/tracing.ts'
import type { RouteAction } from './action.ts'
import type { Dependency } from './dependencies.ts'
import { PageQuery, page } from './pagination.ts'
import type { Server } from './server.ts'
import { sendEvents } from './server-sent-events.ts'
import { chooseServices, defineService, neededBy, type Service } from './service.ts'
import { ALLOWED, openTestServer } from './testing.ts'

const action = (name: string, effect: RouteAction['effect'] = 'read'): { action: RouteAction } => ({
  action: { name, capability: name.replace(/^http\./, ''), effect },
})
const ADA = { authorization: 'Bearer acme/ada' }

const notes = defineService({
  name: 'notes',
  summary: 'Keeps notes.',
  routes: (app) => {
    app.get(
      '/v1/notes',
      { config: action('http.notes.list'), schema: { querystring: PageQuery, response: { 200: page(z.object({ text: z.string() })) } } },
      async ({ query }) => ({ items: [{ text: `up to ${query.limit}` }], nextCursor: null }),
    )
    app.get(
      '/v1/notes/:id',
      {
        config: action('http.notes.read'),
        schema: { params: z.object({ id: z.string() }), response: { 200: z.object({ id: z.string(), by: z.string() }) } },
      },
      async ({ params, principal }) => ({ id: params.id, by: principal.id }),
    )
    app.post(
      '/v1/notes',
      {
        config: action('http.notes.create', 'write'),
        schema: {
          body: z.object({ text: z.string().min(1), tags: z.array(z.string()).default([]) }),
          response: { 201: z.object({ text: z.string() }) },
        },
      },
      async ({ body }, reply) => reply.code(201).send({ text: body.text }),
    )
    app.get('/v1/broken', { config: action('http.broken.read') }, async () => {
      throw new Error('password=hunter2 in a stack trace')
    })
    app.get('/v1/spent', { config: action('http.spent.read') }, async () => {
      throw new SomaError('budget_exceeded', 'The budget has 3 tokens left.', { left: 3, retryAfterSeconds: 12.2 })
    })
    app.get(
      '/v1/auth/methods',
      { config: { action: { name: 'http.hello.read', capability: 'public', effect: 'read', public: true } } },
      async () => ({ hello: 'world' }),
    )
    app.get('/v1/notes/events', { config: action('http.notes.watch') }, (request, reply) =>
      sendEvents(request, reply, async function* ({ lastEventId }) {
        const after = Number(lastEventId ?? 0)
        for (let id = after + 1; id <= 3; id++) yield { id: String(id), event: 'note', data: { id } }
      }),
    )
    app.get('/v1/notes/socket', { config: action('http.notes.socket'), websocket: true }, (socket, request) => {
      socket.send(JSON.stringify({ hello: request.principal.id }))
    })
  },
})

let server: Server
afterEach(() => server?.close())

describe('default deny', () => {
  test('a route that does not say what it does is refused at registration', async () => {
    const careless = defineService({
      name: 'careless',
      summary: '',
      routes: (app) => {
        app.get('/v1/open', async () => 'anybody')
      },
    })
    await expect(openTestServer([careless])).rejects.toThrow(/GET \/v1\/open does not say what it does/)
  })

  test('a service can not hide behind the documentation', async () => {
    const hidden = defineService({
      name: 'hidden',
      summary: '',
      routes: (app) => {
        app.get('/docs/private', async () => 'anybody')
      },
    })
    await expect(openTestServer([hidden])).rejects.toThrow(/GET \/docs\/private does not say what it does/)
  })

  test('two routes can not be one operation', async () => {
    const twice = defineService({
      name: 'twice',
      summary: '',
      routes: (app) => {
        app.get('/v1/a', { config: action('http.same') }, async () => 1)
        app.get('/v1/b', { config: action('http.same') }, async () => 2)
      },
    })
    await expect(openTestServer([twice])).rejects.toThrow(/GET \/v1\/b and GET \/v1\/a both are the operation "http.same"/)
  })

  test('a route that says it is public is refused unless the list of public routes has it, whatever the method', async () => {
    const open = { action: { name: 'http.open', capability: 'public', effect: 'read', public: true } } as const
    const serving = (method: 'GET' | 'POST', url: string) =>
      openTestServer([
        defineService({
          name: 'open',
          summary: '',
          routes: (app) => void app.route({ method, url, config: open, handler: async () => 1 }),
        }),
      ])
    for (const [method, url] of [
      ['GET', '/v1/secrets'],
      ['POST', '/v1/auth/methods'],
      ['GET', '/documents'],
    ] as const)
      await expect(serving(method, url)).rejects.toThrow(`The route ${method} ${url} says that it is public, and does not stand in`)
    server = await serving('GET', '/v1/auth/methods')
    for (const method of ['GET', 'HEAD'] as const)
      expect((await server.app.inject({ method, url: '/v1/auth/methods' })).statusCode).toBe(200)
  })

  test('every route but the public ones asks for credentials and then the gate', async () => {
    const asked: GateRequest[] = []
    server = await openTestServer([notes], {
      gate: async (request) => {
        asked.push(request)
        return ALLOWED
      },
    })
    const anonymous = await server.app.inject('/v1/notes/7')
    expect(anonymous.statusCode).toBe(401)
    expect(anonymous.headers['www-authenticate']).toBe('Bearer')
    expect(asked).toEqual([])

    const known = await server.app.inject({ url: '/v1/notes/7', headers: ADA })
    expect(known.json()).toEqual({ id: '7', by: 'user:ada' })
    expect(asked).toMatchObject([
      {
        principal: { id: 'user:ada', tenant: 'acme' },
        action: { name: 'http.notes.read', capability: 'notes.read', effect: 'read', resource: { id: '7' } },
      },
    ])
    expect((await server.app.inject('/v1/auth/methods')).json()).toEqual({ hello: 'world' })
    expect(asked).toHaveLength(1)
  })

  test.each([
    ['a gate that says no', async () => ({ ...ALLOWED, verdict: 'deny' as const }), 403, 'policy_denied'],
    [
      'a gate that throws',
      async () => Promise.reject(new SomaError('policy_unavailable', 'Policy does not answer.')),
      503,
      'policy_unavailable',
    ],
    ['a gate that breaks', async () => Promise.reject(new Error('boom')), 500, 'internal'],
  ])('%s keeps the handler from running', async (_case, gate, status, code) => {
    let isReached = false
    const guarded = defineService({
      name: 'guarded',
      summary: '',
      routes: (app) => {
        app.get('/v1/guarded', { config: action('http.guarded.read') }, async () => {
          isReached = true
        })
      },
    })
    server = await openTestServer([guarded], { gate })
    const answer = await server.app.inject({ url: '/v1/guarded', headers: ADA })
    expect(answer.statusCode).toBe(status)
    expect(answer.json()).toMatchObject({ code, status })
    expect(isReached).toBe(false)
  })

  test('a body is not read before the caller is known', async () => {
    server = await openTestServer([notes])
    const answer = await server.app.inject({
      method: 'POST',
      url: '/v1/notes',
      headers: { 'content-type': 'application/json' },
      payload: '{not json',
    })
    expect(answer.json().code).toBe('unauthenticated')
  })
})

describe('problems', () => {
  test('bad input names every field that is wrong', async () => {
    server = await openTestServer([notes])
    const answer = await server.app.inject({
      method: 'POST',
      url: '/v1/notes?x=secret',
      headers: ADA,
      payload: { text: '', tags: ['a', 2] },
    })
    expect(answer.statusCode).toBe(400)
    expect(answer.headers['content-type']).toBe('application/problem+json')
    expect(answer.json()).toMatchObject({
      type: '/errors/invalid_input',
      code: 'invalid_input',
      instance: '/v1/notes',
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      details: { errors: [{ path: 'text' }, { path: 'tags.1' }] },
    })
  })

  test.each([
    ['no JSON', { payload: '{"text":', headers: { 'content-type': 'application/json' } }, 400, 'invalid_input'],
    ['an empty body', { payload: '', headers: { 'content-type': 'application/json' } }, 400, 'invalid_input'],
    ['another media type', { payload: 'text=1', headers: { 'content-type': 'text/csv' } }, 415, 'unsupported_media_type'],
    ['a body that is too large', { payload: { text: 'x'.repeat(2_000_000) }, headers: {} }, 413, 'payload_too_large'],
  ])('%s is a problem with its own code', async (_case, sent, status, code) => {
    server = await openTestServer([notes])
    const answer = await server.app.inject({ method: 'POST', url: '/v1/notes', ...sent, headers: { ...ADA, ...sent.headers } })
    expect([answer.statusCode, answer.json().code]).toEqual([status, code])
    expect(answer.json().detail).not.toBe('')
  })

  test('what nobody foresaw tells its trace id and nothing of itself', async () => {
    server = await openTestServer([notes])
    const answer = await server.app.inject({ url: '/v1/broken', headers: ADA })
    expect(answer.statusCode).toBe(500)
    expect(answer.body).not.toMatch(/hunter2|stack|at /)
    expect(answer.json().traceId).toBe(String(answer.headers.traceparent).split('-')[1])
  })

  test('Retry-After says in whole seconds when to come back', async () => {
    server = await openTestServer([notes])
    const answer = await server.app.inject({ url: '/v1/spent', headers: ADA })
    expect([answer.statusCode, answer.headers['retry-after'], answer.json().details.left]).toEqual([429, '13', 3])
  })

  test('an address that is nowhere and a method that is not taken are problems too', async () => {
    server = await openTestServer([notes])
    expect((await server.app.inject('/v1/nowhere')).json()).toMatchObject({ code: 'not_found', status: 404 })
    const wrong = await server.app.inject({ method: 'DELETE', url: '/v1/notes' })
    expect(wrong.json()).toMatchObject({ code: 'method_not_allowed', status: 405 })
    expect(wrong.headers.allow).toBe('GET, HEAD, POST')
    expect((await server.app.inject('/v1/notes/%E0%A4%A')).json()).toMatchObject({ code: 'invalid_input', status: 400 })
  })

  test('type leads to the meaning of the code', async () => {
    server = await openTestServer([notes])
    expect((await server.app.inject('/errors/budget_exceeded')).json()).toMatchObject({ code: 'budget_exceeded', status: 429 })
    expect((await server.app.inject('/errors/toString')).statusCode).toBe(404)
  })
})

describe('limits', () => {
  test('a principal and an address have their own count, shown in headers', async () => {
    const config = { rateLimit: { perMinute: 2, unauthenticatedPerMinute: 1 } }
    server = await openTestServer([notes], { config })
    const ask = (authorization?: string) => server.app.inject({ url: '/v1/notes/1', headers: authorization ? { authorization } : {} })
    const first = await ask('Bearer acme/ada')
    expect(first.headers).toMatchObject({ 'ratelimit-limit': '2', 'ratelimit-remaining': '1' })
    await ask('Bearer acme/ada')
    const third = await ask('Bearer acme/ada')
    expect(third.json()).toMatchObject({ code: 'rate_limited', status: 429 })
    expect(Number(third.headers['retry-after'])).toBeGreaterThan(0)
    expect((await ask('Bearer acme/bob')).statusCode).toBe(200)
    expect((await ask()).statusCode).toBe(401)
    expect((await ask('Bearer guess')).statusCode).toBe(429)
    expect((await server.app.inject('/health')).statusCode).toBe(200)
  })

  test('what the platform asks of itself is not counted', async () => {
    server = await openTestServer([notes], {
      config: { rateLimit: { perMinute: 1, unauthenticatedPerMinute: 1 } },
      authenticate: async () => ({ id: 'service:orchestrator', kind: 'service', tenant: 'acme', capabilities: ['*'], within: [] }),
    })
    for (let round = 0; round < 3; round++) expect((await server.app.inject('/v1/notes/1')).statusCode).toBe(200)
  })

  test('a server that falls behind refuses new work, but still says that it is alive', async () => {
    server = await openTestServer([notes], { config: { http: { ...Config.parse({}).http, maxEventLoopDelayMilliseconds: 20 } } })
    const askAfterHardWork = async () => {
      const until = performance.now() + 100
      while (performance.now() < until);
      return server.app.inject({ url: '/v1/notes/1', headers: ADA })
    }
    await expect.poll(async () => (await askAfterHardWork()).json().code, { timeout: 20_000 }).toBe('overloaded')
    expect((await askAfterHardWork()).headers['retry-after']).toBe('2')
    expect((await server.app.inject('/health')).statusCode).toBe(200)
  })

  test('guessing addresses is counted as well', async () => {
    server = await openTestServer([notes], { config: { rateLimit: { perMinute: 9, unauthenticatedPerMinute: 1 } } })
    await server.app.inject('/v1/nowhere')
    expect((await server.app.inject('/v1/nowhere')).statusCode).toBe(429)
  })
})

describe('telemetry', () => {
  test('a trace goes on from the caller to the handler, the answer, the log and the ring', async () => {
    const tracing = await createTracing({ version: 'test', recentSpans: 10 })
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const tracer = defineService({
      name: 'tracer',
      summary: '',
      routes: (app, context) => {
        app.post('/v1/work', { config: action('http.work.do', 'write'), schema: { body: z.object({}) } }, async () =>
          context.tracing.inSpan('inside', {}, async (span) => ({ traceId: span.spanContext().traceId })),
        )
      },
    })
    server = await openTestServer([tracer], { telemetry: { metrics: createMetrics({ processMetrics: false }), tracing } })
    const answer = await server.app.inject({
      method: 'POST',
      url: '/v1/work',
      headers: { ...ADA, traceparent: `00-${traceId}-b7ad6b7169203331-01`, 'x-request-id': 'mine-1' },
      payload: {},
    })
    expect(answer.json()).toEqual({ traceId })
    expect(answer.headers.traceparent).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
    expect(answer.headers['x-request-id']).toBe('mine-1')
    const spans = tracing.recentSpans({ traceId })
    expect(spans.map((span) => span.name)).toEqual(['POST /v1/work', 'inside'])
    expect(spans[1]?.parentSpanId).toBe(spans[0]?.spanId)
    expect(spans[0]?.parentSpanId).toBe('b7ad6b7169203331')
    expect(tracing.recentSpans({ tenant: 'globex' })).toEqual([])
    expect(tracing.recentSpans({ tenant: 'acme' })).toHaveLength(1)
  })

  test('requests are counted by service, route and status, never by address', async () => {
    server = await openTestServer([notes])
    await server.app.inject({ url: '/v1/notes/1', headers: ADA })
    await server.app.inject({ url: '/v1/notes/2', headers: ADA })
    await server.app.inject('/v1/nowhere/at-all')
    const { body, headers } = await server.app.inject('/metrics')
    expect(headers['content-type']).toMatch(/^text\/plain/)
    expect(body).toContain('http_requests_total{service="notes",method="GET",route="/v1/notes/:id",status="200"} 2')
    expect(body).toContain('http_requests_total{service="platform",method="GET",route="unmatched",status="404"} 1')
    expect(body).toContain('http_request_duration_seconds_bucket{le="0.001",service="notes"')
    expect(body).not.toContain('at-all')
  })
})

describe('probes', () => {
  test('ready asks what it depends on, needs only what is required, and shows no driver’s words', async () => {
    const dependency = (name: string, isRequired: boolean, version: () => Promise<string>): Dependency => ({
      name,
      driver: 'test',
      isRequired,
      version,
    })
    const sql = dependency('sql', true, async () => '18.4')
    const locks = dependency('locks', false, async () => Promise.reject(new SomaError('dependency_unavailable', 'Redis is away.')))
    const policy = dependency('policy', true, async () => Promise.reject(new Error(['redis://soma', 'hunter2@db refused'].join(':'))))
    server = await openTestServer([notes], { dependencies: [sql, locks] })
    const degraded = await server.app.inject('/ready')
    expect(degraded.statusCode).toBe(200)
    expect(degraded.json()).toMatchObject({
      status: 'ready',
      degraded: ['locks'],
      checks: {
        sql: { ok: true, driver: 'test', version: '18.4', required: true },
        locks: { ok: false, detail: 'Redis is away.', required: false },
      },
    })
    await server.close()
    server = await openTestServer([notes], { dependencies: [sql, policy] })
    const answer = await server.app.inject('/ready')
    expect(answer.statusCode).toBe(503)
    expect(answer.json()).toMatchObject({ status: 'not_ready', checks: { policy: { ok: false, detail: 'does not answer' } } })
    expect(answer.body).not.toContain('hunter2')
    expect((await server.app.inject('/health')).json()).toEqual({ status: 'ok' })
    expect((await server.app.inject('/version')).json()).toMatchObject({ name: 'soma', version: '0.0.0', services: ['notes'] })
  })

  test('the documentation works without a network', async () => {
    server = await openTestServer([notes])
    const index = await server.app.inject('/docs/')
    expect(index.statusCode).toBe(200)
    expect(index.headers['content-security-policy']).toContain("script-src 'self'")
    expect(index.body).not.toMatch(/(src|href)="(https?:)?\/\//)
    expect((await server.app.inject('/docs/static/swagger-ui-bundle.js')).statusCode).toBe(200)
    expect((await server.app.inject('/health')).headers['content-security-policy']).toBe("default-src 'none';frame-ancestors 'none'")
  })
})

describe('on real sockets', () => {
  test('events are streamed, and go on after the one that was seen last', async () => {
    server = await openTestServer([notes], { config: { http: { ...Config.parse({}).http, port: 0 } } })
    const url = await server.listen()
    const all = await fetch(`${url}/v1/notes/events`, { headers: ADA })
    expect(all.headers.get('content-type')).toBe('text/event-stream')
    expect(await all.text()).toBe(
      'retry: 2000\n\nid: 1\nevent: note\ndata: {"id":1}\n\nid: 2\nevent: note\ndata: {"id":2}\n\nid: 3\nevent: note\ndata: {"id":3}\n\n',
    )
    const rest = await fetch(`${url}/v1/notes/events`, { headers: { ...ADA, 'last-event-id': '2' } })
    expect(await rest.text()).toBe('retry: 2000\n\nid: 3\nevent: note\ndata: {"id":3}\n\n')
  })

  test('a socket passes authentication and gate like everything else', async () => {
    server = await openTestServer([notes], { config: { http: { ...Config.parse({}).http, port: 0 } } })
    await server.listen()
    const messages: string[] = []
    const socket = await server.app.injectWS(
      '/v1/notes/socket',
      { headers: ADA },
      {
        onInit: (ws) => {
          ws.once('message', (data: unknown) => messages.push(String(data)))
        },
      },
    )
    await expect.poll(() => messages).toEqual(['{"hello":"user:ada"}'])
    socket.terminate()
    await expect(server.app.injectWS('/v1/notes/socket')).rejects.toThrow(/401/)
  })

  test('a stop ends open streams, refuses new work and lets what is under way finish', async () => {
    let finish: () => void = () => undefined
    let isUnderWay = false
    const slow = defineService({
      name: 'slow',
      summary: '',
      routes: (app) => {
        app.get('/v1/slow', { config: action('http.slow.read') }, async () => {
          await new Promise<void>((resolve) => {
            finish = resolve
            isUnderWay = true
          })
          return { done: true }
        })
        app.get('/v1/forever', { config: action('http.forever.watch') }, (request, reply) =>
          sendEvents(
            request,
            reply,
            async function* ({ signal }) {
              yield { data: 'first' }
              await new Promise((resolve) => signal.addEventListener('abort', resolve))
            },
            { heartbeatSeconds: 0.01 },
          ),
        )
      },
    })
    server = await openTestServer([slow], { config: { http: { ...Config.parse({}).http, port: 0 } } })
    const url = await server.listen()
    const connection = connect(Number(new URL(url).port), '127.0.0.1')
    let answers = ''
    connection.on('data', (chunk) => {
      answers += chunk
    })
    const request = `GET /v1/slow HTTP/1.1\r\nHost: soma\r\nAuthorization: ${ADA.authorization}\r\n\r\n`
    connection.write(request)
    const stream = await fetch(`${url}/v1/forever`, { headers: ADA })
    const reader = stream.body?.pipeThrough(new TextDecoderStream()).getReader()
    let seen = ''
    await expect.poll(async () => (seen += (await reader?.read())?.value ?? '')).toContain(': heartbeat')
    await expect.poll(() => isUnderWay).toBe(true)
    const closed = server.close()
    connection.write(request)
    await expect.poll(async () => (await reader?.read())?.done).toBe(true)
    finish()
    await expect.poll(() => answers).toMatch(/200 OK[\s\S]*{"done":true}[\s\S]*503 Service Unavailable[\s\S]*"code":"shutting_down"/)
    connection.end()
    await closed
  })
})

describe('services', () => {
  const other: Service = {
    name: 'memory',
    summary: '',
    needs: ['vectors'],
    migrations: { schema: 'memory', steps: [] },
    routes: () => undefined,
  }

  test('those that are named run, and only what they need is opened', () => {
    expect(chooseServices([notes, other], []).map((service) => service.name)).toEqual(['notes', 'memory'])
    expect(chooseServices([notes, other], ['memory'])).toEqual([other])
    expect([...neededBy([other])].sort()).toEqual(['sql', 'vectors'])
  })

  test('a name that is wrong is answered with the nearest', () => {
    expect(() => chooseServices([notes, other], ['memry'])).toThrow(
      'There is no service "memry". Did you mean memory? There are: notes, memory.',
    )
  })
})
