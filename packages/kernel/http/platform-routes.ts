import { ERROR_CODES, type ErrorCode, SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import type { Metrics } from '../telemetry/metrics.ts'
import { checkDependencies, type Dependency, DependencyReport } from './dependencies.ts'
import { HTTP_STATUS } from './problem.ts'
import type { ServiceApp } from './service.ts'

export interface About {
  name: string
  version: string
  /** Changes with every start. */
  instance: string
}

const open = (name: string) => ({ action: { name, capability: 'public', effect: 'read', public: true }, rateLimit: false }) as const

const Readiness = z.object({
  status: z.enum(['ready', 'not_ready', 'stopping']),
  degraded: z.array(z.string()).describe('What is not well but not required: some work waits or is refused.'),
  checks: z.record(z.string(), DependencyReport),
})

/** What every server answers to everybody: is it alive, is it ready, its figures, its version, and what its errors mean. */
export function addPlatformRoutes(
  app: ServiceApp,
  parts: { about: About; dependencies: readonly Dependency[]; metrics: Metrics; services: readonly string[] },
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
      const checks = await checkDependencies(parts.dependencies)
      const unwell = Object.entries(checks).filter(([, { ok }]) => !ok)
      const isReady = unwell.every(([, { required }]) => !required)
      const status = app.stopping.aborted ? 'stopping' : isReady ? 'ready' : 'not_ready'
      const degraded = unwell.flatMap(([name, { required }]) => (required ? [] : [name]))
      return reply.code(status === 'ready' ? 200 : 503).send({ status, degraded, checks })
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
