import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Decision } from '@soma/contracts/policy'
import type { Principal } from '@soma/contracts/tenant'
import { pino } from 'pino'
import { Config } from '../config/schema.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createTracing } from '../telemetry/tracing.ts'
import type { IdempotencyStore } from './idempotency.ts'
import type { ServerParts } from './server.ts'
import { createServer, type Server } from './server.ts'
import type { Needs, Service, ServiceContext } from './service.ts'

export const ALLOWED: Decision = { verdict: 'allow', reasons: [], score: 1, obligations: [], policy: 'test' }

/** A caller named in the bearer token itself: `Bearer acme/ada`. */
export async function trustingAuthenticate({ authorization }: { authorization?: string }): Promise<Principal> {
  const [, tenant, name] = /^Bearer (\w+)\/(\w+)$/.exec(authorization ?? '') ?? []
  if (!tenant) throw new SomaError('unauthenticated', 'The request shows no credentials.')
  return { id: `user:${name}`, kind: 'user', tenant, capabilities: ['*'], within: [] }
}

const NO_STORE: IdempotencyStore = {
  begin: async () => ({ state: 'fresh', token: '' }),
  finish: async () => undefined,
  release: async () => undefined,
  deleteExpired: async () => 0,
}

/** A real server for tests of routes: everything but who calls and what the gate says. */
export async function openTestServer(
  services: readonly Service[],
  options: Partial<Omit<ServerParts, 'config' | 'services'>> & { config?: Partial<Config>; needs?: Partial<Needs & ServiceContext> } = {},
): Promise<Server> {
  const config = { ...Config.parse({}), ...options.config }
  const telemetry = options.telemetry ?? {
    metrics: createMetrics({ processMetrics: false }),
    tracing: await createTracing({ version: 'test', recentSpans: 1000 }),
  }
  const logger = options.logger ?? pino({ level: 'silent' })
  const context: ServiceContext = {
    config,
    logger,
    ...telemetry,
    folder: (name) => mkdtemp(join(tmpdir(), `soma-${name}-`)),
    fetchAs: () => fetch,
    onStop: () => undefined,
  }
  return createServer({
    about: { name: 'soma', version: '0.0.0' },
    contextFor: () => ({ ...context, ...options.needs }) as ServiceContext & Needs,
    authenticate: trustingAuthenticate,
    gate: async () => ALLOWED,
    runLabels: { of: async () => [], add: async () => undefined },
    idempotency: NO_STORE,
    ...options,
    config,
    services,
    telemetry,
    logger,
  })
}
