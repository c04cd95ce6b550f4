import { ERROR_CODES, type ErrorCode, SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import type { Metrics } from '../telemetry/metrics.ts'
import { HTTP_STATUS } from './problem.ts'
import type { ServiceApp } from './service.ts'

/** Is what the server depends on there? Resolves, or rejects with what is wrong. */
export type ReadinessCheck = () => Promise<unknown>

export interface About {
  name: string
  version: string
  /** Changes with every start. */
  instance: string
}

const CHECK_TIMEOUT = 2000
const open = (name: string) => ({ action: { name, capability: 'public', effect: 'read', public: true }, rateLimit: false }) as const

const CheckResult = z.object({ ok: z.boolean(), detail: z.string().optional(), milliseconds: z.number() })
const Readiness = z.object({ status: z.enum(['ready', 'not_ready', 'stopping']), checks: z.record(z.string(), CheckResult) })

/** What every server answers to everybody: is it alive, is it ready, its figures, its version, and what its errors mean. */
export function addPlatformRoutes(
  app: ServiceApp,
  parts: { about: About; checks: Readonly<Record<string, ReadinessCheck>>; metrics: Metrics; services: readonly string[] },
): void {
  app.get(
    '/health',
    {
      config: open('http.health.read'),
      schema: { summary: 'Is the process alive?', response: { 200: z.object({ status: z.literal('ok') }) } },
    },
    async () => ({ status: 'ok' as const }),
  )

  app.get(
    '/ready',
    {
      config: open('http.ready.read'),
      schema: { summary: 'Can the server take work? Asks what it depends on.', response: { 200: Readiness, 503: Readiness } },
    },
    async (_request, reply) => {
      const checks = Object.fromEntries(
        await Promise.all(Object.entries(parts.checks).map(async ([name, check]) => [name, await checked(check)] as const)),
      )
      const isReady = Object.values(checks).every((check) => check.ok)
      const status = app.stopping.aborted ? 'stopping' : isReady ? 'ready' : 'not_ready'
      return reply.code(status === 'ready' ? 200 : 503).send({ status, checks })
    },
  )

  app.get(
    '/metrics',
    {
      config: open('http.metrics.read'),
      schema: { summary: 'Figures, in the Prometheus format', produces: ['text/plain'], response: { 200: z.string() } },
    },
    async (_request, reply) => {
      const { contentType, text } = await parts.metrics.exposition()
      return reply.type(contentType).serializer(String).send(text)
    },
  )

  app.get(
    '/version',
    {
      config: open('http.version.read'),
      schema: {
        summary: 'What runs here',
        response: {
          200: z.object({ name: z.string(), version: z.string(), node: z.string(), instance: z.string(), services: z.array(z.string()) }),
        },
      },
    },
    async () => ({ ...parts.about, node: process.versions.node, services: [...parts.services] }),
  )

  app.get(
    '/errors/:code',
    {
      config: open('http.errors.read'),
      schema: {
        summary: 'What an error code means',
        params: z.object({ code: z.string().max(100) }),
        response: { 200: z.object({ code: z.string(), meaning: z.string(), status: z.number() }) },
      },
    },
    async ({ params: { code } }) => {
      if (!Object.hasOwn(ERROR_CODES, code)) throw new SomaError('not_found', `There is no error code "${code}".`, { code })
      return { code, meaning: ERROR_CODES[code as ErrorCode], status: HTTP_STATUS[code as ErrorCode] }
    },
  )
}

async function checked(check: ReadinessCheck): Promise<z.infer<typeof CheckResult>> {
  const startedAt = performance.now()
  const milliseconds = () => Math.round((performance.now() - startedAt) * 10) / 10
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new SomaError('dependency_unavailable', `no answer in ${CHECK_TIMEOUT / 1000} s`)), CHECK_TIMEOUT)
  })
  try {
    await Promise.race([check(), timeout])
    return { ok: true, milliseconds: milliseconds() }
  } catch (error) {
    // Only our own sentences are shown: a driver's may hold an address or a password.
    return { ok: false, detail: SomaError.is(error) ? error.message : 'does not answer', milliseconds: milliseconds() }
  } finally {
    clearTimeout(timer)
  }
}
