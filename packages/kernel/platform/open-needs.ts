import type { Adapter } from '@soma/contracts/operation'
import { relayLag } from '@soma/ports/events/kafka/relay-lag'
import { createOperations } from '../actions/operations.ts'
import { createActions } from '../actions/perform-action.ts'
import { createRunLabels } from '../actions/run-labels.ts'
import { openApprovals } from '../approvals/approvals.ts'
import { openTokens } from '../auth/open-tokens.ts'
import { createPeople } from '../auth/people.ts'
import { openBudgets } from '../budgets/budgets.ts'
import type { Config } from '../config/schema.ts'
import { createEgress } from '../egress/egress.ts'
import { createDecisionLog, type DecisionLog } from '../gate/decision-log.ts'
import { createGate, type PolicySource } from '../gate/gate.ts'
import { openLimits } from '../gate/limits.ts'
import { openPolicyChanges } from '../gate/policy-changes.ts'
import type { Dependency } from '../http/dependencies.ts'
import type { Need, Needs } from '../http/service.ts'
import { createKeys } from '../keys/keys.ts'
import { openKillSwitches } from '../kill/kill-switches.ts'
import { createLedger } from '../ledger/ledger.ts'
import type { DataDirectory } from '../lifecycle/data-directory.ts'
import type { Lifecycle } from '../lifecycle/lifecycle.ts'
import { measureActions, measureBudgets, measureGate, measureJournal, showRelayLag, showStandstills } from '../telemetry/kernel-metrics.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import { type Ground, openPort, openSql, type PortName } from './drivers.ts'

/** The most that a tool may read from one answer, in bytes, and wait for it. */
const EGRESS_LIMITS = { maxBytes: 64 * 1024 * 1024, timeoutMilliseconds: 60_000, maxRedirects: 5 }

export interface OpenNeedsOptions {
  config: Config
  data: DataDirectory
  lifecycle: Lifecycle
  logger: Logger
  telemetry: { metrics: Metrics; tracing: Tracing }
  adapters: readonly Adapter<unknown>[]
  policySource: PolicySource
  wanted: ReadonlySet<Need>
}

/**
 * Opens what the platform stands on. Database, journal, secrets, policy and what the gate needs are always there; the rest only when a
 * service asks for it, and each driver's library is loaded only then.
 */
export async function openNeeds(
  options: OpenNeedsOptions,
): Promise<Partial<Needs> & Pick<Needs, 'sql' | 'journal' | 'gate' | 'kill' | 'keys' | 'tokens' | 'runLabels' | 'dependencies'>> {
  const { config, data, lifecycle } = options
  const { metrics } = options.telemetry
  const sql = await openSql(config, data.path)
  lifecycle.onStop('database', () => sql.close())
  const { openPostgresJournal } = await import('@soma/ports/journal/postgres')
  const journal = measureJournal(await openPostgresJournal(sql), metrics)
  lifecycle.onStop('journal', () => journal.close())
  const dependencies: Dependency[] = [
    dependencyOf('sql', config.sql.url ? 'postgres' : 'embedded', sql),
    {
      name: 'data',
      driver: 'folder',
      // The embedded database is in it.
      isRequired: !config.sql.url,
      version: () => data.space(config.lifecycle.leastFreeMegabytes),
    },
  ]
  const ground: Ground = { config, data: data.path, sql, journal, logger: options.logger }
  const [broadcast, secrets, policy] = await Promise.all([
    openPort('broadcast', ground),
    openPort('secrets', ground),
    openPort('policy', ground),
  ])
  for (const [name, port] of Object.entries({ broadcast, secrets, policy }))
    dependencies.push(dependencyOf(name, config.drivers[name as PortName], port))
  lifecycle.onStop('policy', () => policy.close())
  lifecycle.onStop('secrets', () => secrets.close())
  lifecycle.onStop('broadcast', () => broadcast.close())

  const keys = createKeys(secrets)
  const kill = await openKillSwitches({ sql, broadcast, journal })
  lifecycle.onStop('kill switches', () => kill.close())
  const decisions = createDecisionLog(journal)
  lifecycle.onStop('decisions', () => decisions.flush())
  dependencies.push(asDependency(decisions))
  const gate = measureGate(createGate({ policy, source: options.policySource, kill, limits: await openLimits(sql), decisions }), metrics)
  const policyChanges = await openPolicyChanges({ sql, broadcast })
  policyChanges.onChange(gate.forget)
  lifecycle.onStop('policy changes', () => policyChanges.close())
  const [budgets, approvals, tokens, ledgerKey] = await Promise.all([
    openBudgets(sql).then((opened) => measureBudgets(opened, metrics)),
    openApprovals({
      sql,
      journal,
      broadcast,
      people: createPeople(sql, { hasIssuer: config.auth.issuer !== undefined }),
      expiresAfterSeconds: config.approvals.expireAfterHours * 3600,
    }),
    openTokens({ config, sql, journal, secrets, broadcast }),
    keys.signingKey('ledger'),
  ])
  lifecycle.onStop('tokens', () => tokens.close())
  lifecycle.onStop('approvals', () => approvals.close())
  showStandstills(sql, metrics)
  const runLabels = createRunLabels(journal)
  const ledger = createLedger({ journal, sql, key: ledgerKey })
  const always = {
    sql,
    journal,
    broadcast,
    secrets,
    policy,
    policyChanges,
    keys,
    kill,
    gate,
    budgets,
    approvals,
    tokens,
    ledger,
    runLabels,
    dependencies,
  }
  return { ...always, ...(await openWanted(always, ground, options)) }
}

type Always = Pick<Needs, 'sql' | 'journal' | 'kill' | 'gate' | 'budgets' | 'approvals'> & { dependencies: Dependency[] }

async function openWanted(
  always: Always,
  ground: Ground,
  { config, lifecycle, adapters, wanted, telemetry }: OpenNeedsOptions,
): Promise<Partial<Needs>> {
  const needs: Partial<Needs> = {}
  const wants = (...names: Need[]) => names.some((name) => wanted.has(name))
  const closing = <Port extends { close(): Promise<void> }>(name: string, port: Port): Port => {
    lifecycle.onStop(name, () => port.close())
    return port
  }

  const opened = async <Port extends PortName>(port: Port) => {
    const driver = await openPort(port, ground)
    always.dependencies.push(dependencyOf(port, config.drivers[port], driver))
    lifecycle.onStop(port, () => ('stop' in driver ? driver.stop() : driver.close()))
    return driver
  }

  if (wants('locks')) needs.locks = await opened('locks')
  if (wants('cache')) needs.cache = await opened('cache')
  // A broker is fed from the journal also when no service here publishes or consumes.
  if (wants('events') || config.drivers.events === 'kafka') needs.events = await opened('events')
  // Without a broker events are read where they are written.
  showRelayLag(telemetry.metrics, config.drivers.events === 'kafka' ? () => relayLag(always.sql) : async () => 0)
  if (wants('objects', 'performAction')) needs.objects = await opened('objects')
  if (wants('vectors')) needs.vectors = await opened('vectors')
  if (wants('analytics')) needs.analytics = await opened('analytics')
  if (wants('models')) needs.models = await opened('models')
  if (wants('operations', 'performAction')) needs.operations = closing('operations', createOperations(adapters))
  if (wants('egress', 'performAction')) needs.egress = closing('egress', createEgress({ ...EGRESS_LIMITS, allowPrivate: config.egress.allow }))
  if (wants('performAction')) {
    const { operations, objects, egress } = needs as Pick<Needs, 'operations' | 'objects' | 'egress'>
    needs.performAction = measureActions(createActions({ ...always, operations, objects, egress }), telemetry)
  }
  if (wants('workflows')) needs.workflows = await opened('workflows')
  return needs
}

/** What must answer for any request to be answered rightly: where everything is kept, and who decides. */
const REQUIRED: ReadonlySet<string> = new Set(['sql', 'policy'])

/** As every request needs it: a decision that could not be written keeps the next from being made. Asking writes it again. */
function asDependency(decisions: DecisionLog): Dependency {
  return {
    name: 'journal',
    driver: 'postgres',
    isRequired: true,
    version: async () => {
      decisions.assertWritable()
      return 'takes entries'
    },
  }
}

function dependencyOf(name: string, driver: string, port: { version(): Promise<string> }): Dependency {
  return { name, driver, isRequired: REQUIRED.has(name), version: () => port.version() }
}
