import { join } from 'node:path'
import type { Adapter } from '@soma/contracts/operation'
import type { Journal } from '@soma/ports/journal/port'
import type { Sql } from '@soma/ports/sql/port'
import { createOperations } from '../actions/operations.ts'
import { createActions } from '../actions/perform-action.ts'
import { openApprovals } from '../approvals/approvals.ts'
import { createTokenIssuer } from '../auth/tokens.ts'
import { openBudgets } from '../budgets/budgets.ts'
import type { Config } from '../config/schema.ts'
import { createEgress } from '../egress/egress.ts'
import { createDecisionLog } from '../gate/decision-log.ts'
import { createGate, type PolicySource } from '../gate/gate.ts'
import type { Need, Needs } from '../http/service.ts'
import { createKeys } from '../keys/keys.ts'
import { openKillSwitches } from '../kill/kill-switches.ts'
import { createLedger } from '../ledger/ledger.ts'
import type { DataDirectory } from '../lifecycle/data-directory.ts'
import type { Lifecycle } from '../lifecycle/lifecycle.ts'
import type { Logger } from '../telemetry/log.ts'

/** The most that a tool may read from one answer, in bytes, and wait for it. */
const EGRESS_LIMITS = { maxBytes: 64 * 1024 * 1024, timeoutMilliseconds: 60_000, maxRedirects: 5 }

export interface OpenNeedsOptions {
  config: Config
  data: DataDirectory
  lifecycle: Lifecycle
  logger: Logger
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
): Promise<Partial<Needs> & Pick<Needs, 'sql' | 'journal' | 'gate' | 'kill' | 'keys' | 'tokens'>> {
  const { config, data, lifecycle, wanted } = options
  const sql = await openSql(config, data)
  lifecycle.onStop('database', () => sql.close())
  const [journal, broadcast, secrets, policy] = await Promise.all([
    openJournal(sql),
    openBroadcast(sql),
    openSecrets(sql, data),
    openPolicy(),
  ])
  lifecycle.onStop('policy', () => policy.close())
  lifecycle.onStop('secrets', () => secrets.close())
  lifecycle.onStop('broadcast', () => broadcast.close())
  lifecycle.onStop('journal', () => journal.close())

  const keys = createKeys(secrets)
  const kill = await openKillSwitches({ sql, broadcast, journal })
  lifecycle.onStop('kill switches', () => kill.close())
  const decisions = createDecisionLog(journal)
  lifecycle.onStop('decisions', () => decisions.flush())
  const gate = createGate({ policy, source: options.policySource, kill, decisions })
  await broadcast.subscribe(
    'policy',
    (message) => gate.forget((message as { tenant: string }).tenant),
    () => gate.forgetAll(),
  )
  const [budgets, approvals, tokens, ledgerKey] = await Promise.all([
    openBudgets(sql),
    openApprovals({ sql, journal }),
    keys.signingKey('tokens').then(({ privateKey }) => createTokenIssuer({ issuer: config.auth.issuer, privateKey })),
    keys.signingKey('ledger'),
  ])
  const ledger = createLedger({ journal, sql, key: ledgerKey })
  const always = { sql, journal, broadcast, secrets, policy, keys, kill, gate, budgets, approvals, tokens, ledger }
  return { ...always, ...(await openWanted(always, wanted, options)) }
}

type Always = Pick<Needs, 'sql' | 'journal' | 'kill' | 'gate' | 'budgets' | 'approvals'>

async function openWanted(
  always: Always,
  wanted: ReadonlySet<Need>,
  { config, data, lifecycle, logger, adapters }: OpenNeedsOptions,
): Promise<Partial<Needs>> {
  const { sql, journal } = always
  const needs: Partial<Needs> = {}
  const wants = (...names: Need[]) => names.some((name) => wanted.has(name))
  const closing = <Port extends { close(): Promise<void> }>(name: string, port: Port): Port => {
    lifecycle.onStop(name, () => port.close())
    return port
  }

  if (wants('locks')) needs.locks = closing('locks', await (await import('@soma/ports/locks/postgres')).openPostgresLocks(sql))
  if (wants('cache')) needs.cache = closing('cache', await (await import('@soma/ports/cache/postgres')).openPostgresCache(sql))
  if (wants('events'))
    needs.events = closing('events', await (await import('@soma/ports/events/journal')).openJournalEvents({ sql, journal }))
  if (wants('objects', 'performAction'))
    needs.objects = closing(
      'objects',
      await (await import('@soma/ports/objects/file-system')).openFileSystemObjects({ directory: join(data.path, 'objects') }),
    )
  if (wants('vectors'))
    needs.vectors = closing(
      'vectors',
      await (await import('@soma/ports/vectors/lancedb')).openLanceVectors({ directory: join(data.path, 'vectors') }),
    )
  if (wants('analytics')) {
    const { openAnalyticsLazily } = await import('@soma/ports/analytics/lazily')
    const open = async () => (await import('@soma/ports/analytics/chdb')).openChdb({ directory: join(data.path, 'analytics') })
    needs.analytics = closing('analytics', openAnalyticsLazily(open))
  }
  if (wants('operations', 'performAction')) needs.operations = closing('operations', createOperations(adapters))
  if (wants('performAction')) {
    const egress = closing('egress', createEgress({ ...EGRESS_LIMITS, allowPrivate: config.egress.allow }))
    needs.performAction = createActions({
      ...always,
      operations: needs.operations as Needs['operations'],
      objects: needs.objects as Needs['objects'],
      egress,
    })
  }
  if (wants('workflows')) {
    const { openJournalWorkflows } = await import('@soma/ports/workflows/journal-engine/engine')
    const workflows = await openJournalWorkflows({
      sql,
      journal,
      onTrouble: (error) => logger.error({ err: error }, 'the workflow engine reads its runs again'),
    })
    lifecycle.onStop('workflows', () => workflows.stop())
    needs.workflows = workflows
  }
  return needs
}

async function openSql(config: Config, data: DataDirectory): Promise<Sql> {
  if (config.sql.url) {
    const { openPostgres } = await import('@soma/ports/sql/postgres')
    return openPostgres({ connection: { connectionString: config.sql.url }, poolSize: config.sql.poolSize })
  }
  const { openEmbeddedPostgres } = await import('@soma/ports/sql/embedded')
  return openEmbeddedPostgres({ directory: join(data.path, 'postgres'), poolSize: config.sql.poolSize })
}

async function openJournal(sql: Sql): Promise<Journal> {
  return (await import('@soma/ports/journal/postgres')).openPostgresJournal(sql)
}

async function openBroadcast(sql: Sql): Promise<Needs['broadcast']> {
  return (await import('@soma/ports/broadcast/postgres')).openPostgresBroadcast(sql)
}

async function openSecrets(sql: Sql, data: DataDirectory): Promise<Needs['secrets']> {
  const [{ openPostgresSecrets }, { loadMasterKey }] = await Promise.all([
    import('@soma/ports/secrets/postgres'),
    import('@soma/ports/secrets/master-key'),
  ])
  return openPostgresSecrets(sql, { masterKey: await loadMasterKey(data.path) })
}

async function openPolicy(): Promise<Needs['policy']> {
  return (await import('@soma/ports/policy/wasm')).openWasmPolicy()
}
