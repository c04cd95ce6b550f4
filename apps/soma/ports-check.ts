import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkIssuer } from '@soma/kernel/auth/check-issuer'
import type { Config } from '@soma/kernel/config/schema'
import { type Ground, openPort, openSql, PORTS, type PortName } from '@soma/kernel/platform/drivers'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import type { Sql } from '@soma/ports/sql/port'

/** What was found out about one thing that the platform stands on. */
export interface Finding {
  name: string
  ok: boolean
  /** Everything else works without it. */
  isOptional?: boolean
  driver?: string
  /** Of the server or engine behind it, as it says it. */
  version?: string
  /** How long it took to say so. */
  milliseconds?: number
  detail?: string
  /** What to do when it is not well. */
  fix?: string
}

/** Longest wait for one port, so that a server that hangs does not hang the doctor. */
const PATIENCE_MILLISECONDS = 15_000

/**
 * Opens every port with the driver of the configuration, as the server would, and asks what answers for its version. Embedded drivers
 * do so in a folder that is thrown away, so a server that runs is not in the way.
 */
export async function checkPorts(config: Config): Promise<Finding[]> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-doctor-'))
  let sql: Sql | undefined
  const database = await find('sql', config.sql.url ? 'postgres' : 'embedded', async () => {
    sql = await openSql(config, folder)
    return sql
  })
  try {
    const findings = [database]
    for (const port of PORTS) findings.push(await checkPort(port, config, folder, sql))
    return [...findings, await checkIdentity(config)]
  } finally {
    await sql?.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function checkPort(port: PortName, config: Config, data: string, sql: Sql | undefined): Promise<Finding> {
  const driver = config.drivers[port]
  // Chosen, so nothing is amiss; only a call would be refused.
  if (driver === 'none') return { name: port, driver, ok: true, detail: 'not configured' }
  if (!sql) return { name: port, driver, ok: false, detail: 'not tried: there is no database' }
  const journal = await openPostgresJournal(sql)
  const ground: Ground = { config, data, sql, journal, logger: SILENT }
  try {
    let close = async (): Promise<void> => undefined
    const finding = await find(port, driver, async () => {
      const opened = await openPort(port, ground)
      close = () => ('stop' in opened ? opened.stop() : opened.close())
      return opened
    })
    await close()
    return finding
  } finally {
    await journal.close()
  }
}

/** Who signs the tokens that are accepted: the platform alone, or an issuer beside it. OpenID Connect tells no versions. */
async function checkIdentity(config: Config): Promise<Finding> {
  const { issuer } = config.auth
  if (!issuer) return { name: 'identity', driver: 'own tokens', ok: true }
  const finding = await find('identity', 'oidc', async () => ({ version: async () => String((await checkIssuer(config))?.keys) }))
  const { version: keys, ...rest } = finding
  return { ...rest, detail: finding.ok ? `${issuer}, ${keys} keys` : finding.detail }
}

/** The version is asked for twice: the first answer pays for the connection, the second tells the latency. */
async function find(name: string, driver: string, open: () => Promise<{ version(): Promise<string> }>): Promise<Finding> {
  const asked = (async (): Promise<Finding> => {
    const opened = await open()
    await opened.version()
    const began = performance.now()
    const version = await opened.version()
    return { name, driver, ok: true, version, milliseconds: Math.round((performance.now() - began) * 10) / 10 }
  })()
  try {
    return await Promise.race([asked, givingUp()])
  } catch (error) {
    const [detail] = (error as Error).message.split('\n')
    return { name, driver, ok: false, detail, fix: fixOf(name, driver) }
  }
}

function givingUp(): Promise<never> {
  return new Promise((_resolve, reject) => {
    setTimeout(() => reject(new Error(`no answer in ${PATIENCE_MILLISECONDS / 1000} s`)), PATIENCE_MILLISECONDS).unref()
  })
}

const REINSTALL = 'Run "npm install" again; its install scripts must be allowed to run.'
const INSTEAD = (variable: string, port: string, embedded: string) =>
  `Start the server that ${variable} names (here: npm run stack -- up), or set SOMA_DRIVERS_${port}=${embedded}.`

/** What to do when a real server can't be reached: which setting leads to it, and what stands in for it. */
const FIXES: Readonly<Record<string, string>> = {
  'sql postgres': 'Start the PostgreSQL that SOMA_SQL_URL leads to, or unset it for the embedded one.',
  'journal postgres': 'Free some space on the disk of the database, or bring the database back.',
  'data folder': 'Free some space on the disk of the data folder, or choose another folder with SOMA_DATA.',
  'workflows temporal': INSTEAD('SOMA_TEMPORAL_ADDRESS', 'WORKFLOWS', 'journal'),
  'events kafka': INSTEAD('SOMA_KAFKA_BROKERS', 'EVENTS', 'journal'),
  'locks redis': INSTEAD('SOMA_REDIS_URL or SOMA_REDIS_SENTINELS', 'LOCKS', 'postgres'),
  'cache redis': INSTEAD('SOMA_REDIS_URL or SOMA_REDIS_SENTINELS', 'CACHE', 'postgres'),
  'broadcast redis': INSTEAD('SOMA_REDIS_URL or SOMA_REDIS_SENTINELS', 'BROADCAST', 'postgres'),
  'objects s3': INSTEAD('SOMA_S3_ENDPOINT', 'OBJECTS', 'file-system'),
  'vectors qdrant': INSTEAD('SOMA_QDRANT_URL', 'VECTORS', 'lancedb'),
  'analytics clickhouse': INSTEAD('SOMA_CLICKHOUSE_URL', 'ANALYTICS', 'chdb'),
  'policy opa': INSTEAD('SOMA_OPA_URL', 'POLICY', 'wasm'),
  'secrets vault': INSTEAD('SOMA_VAULT_URL', 'SECRETS', 'postgres'),
  'identity oidc': 'Start the issuer that SOMA_AUTH_ISSUER names (here: npm run stack -- up keycloak), or unset it.',
  'models openai': INSTEAD('SOMA_MODELS_URL', 'MODELS', 'none'),
}

/** What to do about a port that is not well. */
export function fixOf(name: string, driver: string): string {
  return FIXES[`${name} ${driver}`] ?? REINSTALL
}

const SILENT: Ground['logger'] = { error: () => undefined, warn: () => undefined }
