import { resolve } from 'node:path'
import { SomaError } from '@soma/contracts/errors'
import type { Adapter } from '@soma/contracts/operation'
import { createAuthenticate } from '../auth/authenticate.ts'
import { verifyApiKey } from '../auth/verify-api-key.ts'
import type { Config } from '../config/schema.ts'
import { POLICY_BUNDLE } from '../gate/gate.ts'
import { createIdempotencyStore } from '../http/idempotency.ts'
import { createServer, type Server } from '../http/server.ts'
import { chooseServices, migrateServices, type Needs, neededBy, type Service, type ServiceContext } from '../http/service.ts'
import { openDataDirectory } from '../lifecycle/data-directory.ts'
import { createLifecycle, type Lifecycle } from '../lifecycle/lifecycle.ts'
import type { Logger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createTracing } from '../telemetry/tracing.ts'
import { bodyOf, createInternalFetch, servicePrincipal } from './internal-fetch.ts'
import { openNeeds } from './open-needs.ts'

export interface OpenPlatformOptions {
  config: Config
  /** Every service there is; `config.services` chooses among them. */
  services: readonly Service[]
  adapters: readonly Adapter<unknown>[]
  logger: Logger
  version: string
}

export interface Platform {
  server: Server
  lifecycle: Lifecycle
  needs: Partial<Needs>
  /** Where it listens. */
  url: string
  dataDirectory: string
}

/**
 * Starts the platform in this process: data folder, ports, kernel, services, HTTP. Stopping runs the same way back.
 * @throws what keeps it from starting, with what to do; everything opened until then is closed again
 */
export async function openPlatform(options: OpenPlatformOptions): Promise<Platform> {
  const { config, logger } = options
  const lifecycle = createLifecycle({ logger, deadlineMilliseconds: config.lifecycle.stopDeadlineSeconds * 1000 })
  try {
    return await open(options, lifecycle)
  } catch (error) {
    await lifecycle.stop('the start failed')
    throw error
  }
}

async function open({ config, services: all, adapters, logger, version }: OpenPlatformOptions, lifecycle: Lifecycle): Promise<Platform> {
  const services = chooseServices(all, config.services)
  const data = await openDataDirectory(resolve(config.data))
  const metrics = createMetrics()
  const tracing = await createTracing({
    ...config.telemetry,
    version,
    services: config.services,
    tellLoss: (text, fields) => logger.warn(fields, text),
  })
  // The very last, so that the log of the end is sent too.
  lifecycle.onStop('log', () => new Promise<void>((resolve) => logger.flush(() => resolve())))
  lifecycle.onStop('traces', () => tracing.close())

  let server: Server | undefined
  let fetchAs: ServiceContext['fetchAs'] = () => {
    throw new SomaError('internal', 'A service was called before the server was made.')
  }
  const needs = await openNeeds({
    config,
    data,
    lifecycle,
    logger,
    telemetry: { metrics, tracing },
    adapters,
    wanted: neededBy(services),
    policySource: {
      read: (tenant) =>
        bodyOf(fetchAs({ ...servicePrincipal('gate', tenant), capabilities: [POLICY_BUNDLE] })(`/v1/policies/${tenant}/bundle`)),
    },
  })
  await migrateServices(needs.sql, services)
  fetchAs = createInternalFetch({
    app: () => (server as Server).app,
    tokens: needs.tokens,
    audience: config.auth.audience,
    addressOf: (path) => (server?.serves(path) ? undefined : config.peerUrl),
  })

  const authenticate = createAuthenticate({
    apiKey: (key) => verifyApiKey({ sql: needs.sql, revocations: needs.tokens.revocations }, key),
    token: async (token) => (await needs.tokens.verify(token)).principal,
  })
  const stoppers: { name: string; stop: () => Promise<void> }[] = []
  server = await createServer({
    config,
    about: { name: 'soma', version },
    services,
    contextFor: (service) => ({
      ...(needs as Needs),
      config,
      logger: logger.child({ service: service.name }),
      metrics,
      tracing,
      folder: (name) => data.folder(name),
      fetchAs: (principal) => fetchAs(principal),
      onStop: (stop) => stoppers.push({ name: service.name, stop }),
    }),
    authenticate,
    gate: (request) => needs.gate.pass(request),
    runLabels: needs.runLabels,
    telemetry: { metrics, tracing },
    logger,
    idempotency: await createIdempotencyStore(needs.sql),
    dependencies: needs.dependencies,
  })
  const { app, listen, about, close } = server
  // Last in, first out: no new requests, then the services' own work, then what they stand on.
  lifecycle.onStop('services', async () => {
    for (const { stop } of stoppers.reverse()) await stop()
  })
  lifecycle.onStop('http', () => close())
  const url = await listen()
  lifecycle.onStop('announcement', () => data.withdraw())
  await data.announce({ url, instance: about.instance })
  logger.info(
    { url, services: services.map((service) => service.name), routes: app.printRoutes({ commonPrefix: false }).split('\n').length },
    'up',
  )
  return { server, lifecycle, needs, url, dataDirectory: data.path }
}
