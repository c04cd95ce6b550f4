import type { IncomingMessage, ServerResponse } from 'node:http'
import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Journal } from '@soma/ports/journal/port'
import type { Migration, Sql } from '@soma/ports/sql/port'
import { closest } from 'fastest-levenshtein'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Operations } from '../actions/operations.ts'
import type { PerformAction } from '../actions/perform-action.ts'
import type { RunLabels } from '../actions/run-labels.ts'
import type { Approvals } from '../approvals/approvals.ts'
import type { Tokens } from '../auth/open-tokens.ts'
import type { Budgets } from '../budgets/budgets.ts'
import type { Config } from '../config/schema.ts'
import type { Egress } from '../egress/egress.ts'
import type { Gate } from '../gate/gate.ts'
import type { PolicyChanges } from '../gate/policy-changes.ts'
import type { Keys } from '../keys/keys.ts'
import type { KillSwitches } from '../kill/kill-switches.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Ports } from '../platform/drivers.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { Dependency } from './dependencies.ts'

/** What a service may ask for by name. Only what some service needs is opened. What the kernel offers beyond the ports is added here. */
export interface Needs extends Ports {
  sql: Sql
  journal: Journal
  kill: KillSwitches
  budgets: Budgets
  approvals: Approvals
  gate: Gate
  policyChanges: PolicyChanges
  /** The only way out of the machine. */
  egress: Pick<Egress, 'fetch' | 'isException'>
  operations: Operations
  performAction: PerformAction
  runLabels: RunLabels
  ledger: Ledger
  keys: Keys
  tokens: Tokens
  /** What this process opened, and whether it answers. */
  dependencies: readonly Dependency[]
}
export type Need = keyof Needs

/** What every service gets without asking. */
export interface ServiceContext {
  config: Config
  logger: FastifyBaseLogger
  metrics: Metrics
  tracing: Tracing
  /** The platform's folder for what the services of this machine write beside the database: workspaces, reports. */
  folder(name: string): Promise<string>
  /** `fetch` to other services, by path, as the principal: without the network when the callee runs in this process. */
  fetchAs(principal: Principal): typeof fetch
  /** Registers what ends the service's own work; run in reverse order when the process stops. */
  onStop(stopper: () => Promise<void>): void
}

/** Fastify with zod: what a route's schema says is what its handler gets and may answer. */
export type ServiceApp = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse<IncomingMessage>,
  FastifyBaseLogger,
  ZodTypeProvider
>

export interface Service<Needed extends Need = Need> {
  /** `memory-gateway` */
  name: string
  /** One sentence, for the reference page. */
  summary: string
  needs?: readonly Needed[]
  /** The PostgreSQL schema that the service alone reads and writes. */
  migrations?: { schema: string; steps: readonly Migration[] }
  /** Declares the routes. Every route says in `config.action` what it does; one that does not is refused. */
  routes(app: ServiceApp, context: ServiceContext & Pick<Needs, Needed>): void | Promise<void>
  /** Begins the service's own work (consumers, timers), once everything is open and before the first request. */
  start?(context: ServiceContext & Pick<Needs, Needed>): Promise<void>
}

export function defineService<const Needed extends Need = never>(service: Service<Needed>): Service<Needed> {
  return service
}

/**
 * The services that this process runs.
 * @param names empty: all
 * @throws `invalid_input` with the nearest name
 */
export function chooseServices(services: readonly Service[], names: readonly string[]): Service[] {
  const known = services.map((service) => service.name)
  for (const name of names) {
    if (known.includes(name)) continue
    const nearest = known.length > 0 ? ` Did you mean ${closest(name, known)}? There are: ${known.join(', ')}.` : ''
    throw new SomaError('invalid_input', `There is no service "${name}".${nearest}`, { name, services: known })
  }
  return services.filter((service) => names.length === 0 || names.includes(service.name))
}

/** Everything that these services need to be opened. */
export function neededBy(services: readonly Service[]): Set<Need> {
  return new Set(services.flatMap((service) => [...(service.needs ?? []), ...(service.migrations ? (['sql'] as const) : [])]))
}

/** Brings the services' schemas up to date. */
export async function migrateServices(sql: Sql, services: readonly Service[]): Promise<void> {
  for (const { migrations } of services) if (migrations) await sql.migrate(migrations.schema, migrations.steps)
}
