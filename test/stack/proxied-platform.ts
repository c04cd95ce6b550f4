import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromStack } from '@soma/ports/testing'
import { minio } from '@soma/stack/servers/minio'
import { opa } from '@soma/stack/servers/opa'
import { openStack } from '@soma/stack/stack'
import { openPlatformProcesses } from './platform-process.ts'
import { type Fault, openProxy, type ProxiedServer } from './proxied-server.ts'
import { fillDisk, onSmallDisk } from './small-disk.ts'

export type Proxied = 'postgres' | 'opa' | 'temporal' | 'minio' | 'clickhouse' | 'openbao' | 'otel-collector'

const MINIO_DISK = 64 * 1024 * 1024

/**
 * The platform in a process of its own, on real servers that it reaches through proxies. OPA, which asks the platform for its rules, and
 * MinIO, whose disk gets full, are its own; in the others it has names of its own.
 */
export async function openProxiedPlatform() {
  const own = openStack([opa, onSmallDisk(minio, MINIO_DISK)], await mkdtemp(join(tmpdir(), 'soma-degradation-')))
  await own.up([])
  const ofOwn = await own.env()
  const proxies = Object.fromEntries(
    await Promise.all(Object.entries(addresses(ofOwn)).map(async ([name, address]) => [name, await openProxy(address)] as const)),
  ) as Record<Proxied, ProxiedServer>
  const platform = await openPlatformProcesses({ ...ofOwn, ...settings(proxies) }, proxies.postgres.address)
  const { url } = await platform.start([])

  let free: (() => Promise<void>) | undefined
  async function fillMinio(): Promise<void> {
    const [server] = (await own.stateOf('minio')).processes
    if (!server) throw new Error('MinIO does not run.')
    free = await fillDisk(server.pid, join(own.folder, 'minio'))
  }

  return {
    url,
    call: (path: string, options?: Parameters<typeof platform.call>[2]) => platform.call(url, path, options),
    /** @param fault `full` is one of MinIO only */
    spoil: (server: Proxied, fault: Fault | 'full') => (fault === 'full' ? fillMinio() : proxies[server].become(fault)),
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
    postgres: hostOf(fromStack('SOMA_SQL_URL')),
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
