import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromStack } from '@soma/ports/testing'
import { minio } from '@soma/stack/servers/minio'
import { opa } from '@soma/stack/servers/opa'
import { postgres } from '@soma/stack/servers/postgres'
import { openStack } from '@soma/stack/stack'
import { openPlatformProcesses } from './platform-process.ts'
import { type Fault, openProxy, type ProxiedServer } from './proxied-server.ts'
import { fillDisk, onSmallDisk } from './small-disk.ts'

export type Proxied = 'postgres' | 'opa' | 'temporal' | 'minio' | 'clickhouse' | 'openbao' | 'otel-collector'

/** Servers with a disk of their own, in bytes, which can get full. */
const SMALL = { minio: 64 * 1024 * 1024, postgres: 512 * 1024 * 1024 }

/**
 * The platform in a process of its own, on real servers that it reaches through proxies. OPA, which asks the platform for its rules, and
 * those whose disk gets full are its own; in the others it has names of its own.
 */
export async function openProxiedPlatform() {
  const servers = [opa, onSmallDisk(minio, SMALL.minio), onSmallDisk(postgres, SMALL.postgres)]
  const own = openStack(servers, await mkdtemp(join(tmpdir(), 'soma-degradation-')))
  await own.up([])
  const ofOwn = await own.env()
  const proxies = Object.fromEntries(
    await Promise.all(Object.entries(addresses(ofOwn)).map(async ([name, address]) => [name, await openProxy(address)] as const)),
  ) as Record<Proxied, ProxiedServer>
  const { SOMA_SQL_URL: url, ...others } = ofOwn
  const platform = await openPlatformProcesses({ ...others, ...settings(proxies) }, { url: url as string, proxy: proxies.postgres.address })
  const { url: platformUrl } = await platform.start([])

  let free: (() => Promise<void>) | undefined
  async function fill(name: Proxied): Promise<void> {
    const [server] = (await own.stateOf(name)).processes
    if (!server || !(name in SMALL)) throw new Error(`${name} has no small disk.`)
    // PostgreSQL refuses what does not fit into its tables, but ends when its log does not fit. A new part of that lasts for long.
    if (name === 'postgres') for (const statement of ['select pg_switch_wal()', 'checkpoint']) await platform.superuser.query(statement)
    free = await fillDisk(server.pid, join(own.folder, name))
  }

  return {
    url: platformUrl,
    call: (path: string, options?: Parameters<typeof platform.call>[2]) => platform.call(platformUrl, path, options),
    /** @param fault `full` is one of those with a small disk only */
    spoil: (server: Proxied, fault: Fault | 'full') => (fault === 'full' ? fill(server) : proxies[server].become(fault)),
    async heal(server: Proxied): Promise<void> {
      await proxies[server].heal()
      await free?.()
      free = undefined
    },
    async close(): Promise<void> {
      await platform.close()
      await Promise.all(Object.values(proxies).map((proxy) => proxy.close()))
      await own.remove()
    },
  }
}

function addresses(ofOwn: Record<string, string>): Record<Proxied, string> {
  const hostOf = (url: string) => new URL(url).host
  return {
    postgres: hostOf(ofOwn.SOMA_SQL_URL as string),
    opa: hostOf(ofOwn.SOMA_OPA_URL as string),
    temporal: fromStack('SOMA_TEMPORAL_ADDRESS'),
    minio: hostOf(ofOwn.SOMA_S3_ENDPOINT as string),
    clickhouse: hostOf(fromStack('SOMA_CLICKHOUSE_URL')),
    openbao: hostOf(fromStack('SOMA_VAULT_URL')),
    'otel-collector': hostOf(fromStack('SOMA_OTLP_ENDPOINT')),
  }
}

function settings(at: Record<Proxied, ProxiedServer>): Record<string, string> {
  const own = randomUUID().slice(0, 8)
  return {
    SOMA_DRIVERS_POLICY: 'opa',
    SOMA_OPA_URL: `http://${at.opa.address}`,
    SOMA_DRIVERS_WORKFLOWS: 'temporal',
    SOMA_TEMPORAL_ADDRESS: at.temporal.address,
    SOMA_TEMPORAL_TASK_QUEUE: `degradation-${own}`,
    SOMA_DRIVERS_OBJECTS: 's3',
    SOMA_S3_ENDPOINT: `http://${at.minio.address}`,
    SOMA_DRIVERS_ANALYTICS: 'clickhouse',
    SOMA_CLICKHOUSE_URL: `http://${at.clickhouse.address}`,
    SOMA_CLICKHOUSE_USERNAME: fromStack('SOMA_CLICKHOUSE_USERNAME'),
    SOMA_CLICKHOUSE_PASSWORD: fromStack('SOMA_CLICKHOUSE_PASSWORD'),
    SOMA_CLICKHOUSE_DATABASE: `degradation_${own}`,
    SOMA_DRIVERS_SECRETS: 'vault',
    SOMA_VAULT_URL: `http://${at.openbao.address}`,
    SOMA_VAULT_TOKEN: fromStack('SOMA_VAULT_TOKEN'),
    SOMA_OTLP_ENDPOINT: `http://${at['otel-collector'].address}`,
    // Enough for a server that is slow, and a test of one that hangs does not take minutes.
    SOMA_SQL_STATEMENT_TIMEOUT_SECONDS: '10',
    // What is downloaded is served by the platform itself.
    SOMA_EGRESS_ALLOW: '127.0.0.1',
    // A busy machine refuses nothing here, so that every refusal is the fault's.
    SOMA_HTTP__MAX_EVENT_LOOP_DELAY_MILLISECONDS: '0',
  }
}
