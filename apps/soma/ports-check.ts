import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '@soma/kernel/config/schema'

/** What was found out about one thing that the platform stands on. */
export interface Finding {
  name: string
  ok: boolean
  /** Everything else works without it. */
  isOptional?: boolean
  driver?: string
  version?: string
  milliseconds?: number
  detail?: string
  /** What to do when it is not well. */
  fix?: string
}

/** Gives the version of what answered. */
type Probe = (folder: string, config: Config) => Promise<string>

/** Each driver, used once in a folder that is thrown away: what is installed but does not run on this machine shows here. */
const PROBES: Record<string, Probe> = {
  'sql embedded': async (folder) => {
    const { openEmbeddedPostgres } = await import('@soma/ports/sql/embedded')
    const sql = await openEmbeddedPostgres({ directory: folder, durable: false, poolSize: 1 })
    return sql.version().finally(() => sql.close())
  },
  'sql postgres': async (_folder, config) => {
    const { openPostgres } = await import('@soma/ports/sql/postgres')
    const sql = await openPostgres({ connection: { connectionString: config.sql.url, connectionTimeoutMillis: 3000 }, poolSize: 1 })
    return sql.version().finally(() => sql.close())
  },
  'objects file-system': async (folder) => {
    const { openFileSystemObjects } = await import('@soma/ports/objects/file-system')
    const objects = await openFileSystemObjects({ directory: folder })
    const { digest } = await objects.put('doctor', Buffer.from('doctor'), 'text/plain')
    await objects.get('doctor', digest)
    await objects.close()
    return `node ${process.versions.node}`
  },
  'vectors lancedb': async (folder) => {
    const { openLanceVectors } = await import('@soma/ports/vectors/lancedb')
    const vectors = await openLanceVectors({ directory: folder })
    await vectors.ensureCollection('doctor', 'doctor', { dimensions: 2 }).finally(() => vectors.close())
    return versionOf('@lancedb/lancedb')
  },
  'analytics chdb': async (folder) => {
    const { openChdb } = await import('@soma/ports/analytics/chdb')
    const analytics = await openChdb({ directory: folder })
    return analytics.version().finally(() => analytics.close())
  },
  'policy wasm': async () => {
    const { openWasmPolicy } = await import('@soma/ports/policy/wasm')
    const policy = await openWasmPolicy()
    return policy.version().finally(() => policy.close())
  },
}

/** What rests on the database or the journal in it, and has no more to it. */
const ON_SQL = ['workflows', 'events', 'locks', 'cache', 'broadcast', 'secrets']

/** Tries every port of the configuration. */
export async function checkPorts(config: Config): Promise<Finding[]> {
  const sql = await probe('sql', config.sql.url ? 'postgres' : 'embedded', config)
  const findings = [sql]
  for (const [name, driver] of Object.entries(config.drivers)) {
    if (ON_SQL.includes(name)) findings.push({ name, driver, ok: sql.ok, detail: 'on sql' })
    else findings.push(await probe(name, driver, config))
  }
  return findings
}

async function probe(name: string, driver: string, config: Config): Promise<Finding> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-doctor-'))
  const began = performance.now()
  try {
    const version = await PROBES[`${name} ${driver}`]?.(folder, config)
    return { name, driver, ok: true, version, milliseconds: Math.round(performance.now() - began) }
  } catch (error) {
    const [detail] = (error as Error).message.split('\n')
    return { name, driver, ok: false, detail, fix: fixOf(name, driver) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function fixOf(name: string, driver: string): string {
  if (name === 'sql' && driver === 'postgres') return 'Start the PostgreSQL that SOMA_SQL_URL leads to, or unset it for the embedded one.'
  return 'Run "npm install" again; its install scripts must be allowed to run.'
}

/** Of a library that tells no version itself: what the ports ask for, which is exact. */
async function versionOf(packageName: string): Promise<string> {
  const text = await readFile(new URL('../../packages/ports/package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { dependencies: Record<string, string> }).dependencies[packageName] ?? ''
}
