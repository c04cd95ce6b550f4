import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ADAPTERS } from '@soma/cli/adapters'
import { SERVICES } from '@soma/cli/services'
import { defaultCapabilities } from '@soma/contracts/roles'
import { issueApiKey } from '@soma/kernel/auth/api-keys'
import { Config } from '@soma/kernel/config/schema'
import type { Needs } from '@soma/kernel/http/service'
import { openPlatform } from '@soma/kernel/platform/open-platform'
import { createLogger } from '@soma/kernel/telemetry/log'
import type { Cache } from '@soma/ports/cache/port'
import { openPostgresCache } from '@soma/ports/cache/postgres'
import { openLanceVectors } from '@soma/ports/vectors/lancedb'
import type { Vectors } from '@soma/ports/vectors/port'

export interface Answer {
  status: number
  text: string
  body: Record<string, unknown>
}

/** A tenant, its administrator's way in, and what makes its values recognisable wherever they turn up. */
export interface TenantUnderTest {
  name: string
  /** In every value that the tenant hands over, and in nobody else's. */
  mark: string
  /** Ids of what it made, by the collection of the API: `runs`, `api-keys`. */
  ids: Map<string, string[]>
  call(method: string, path: string, body?: object, headers?: Record<string, string>): Promise<Answer>
}

export type IsolationWorld = Awaited<ReturnType<typeof openIsolationWorld>>
type Opened = Pick<Needs, 'sql' | 'journal' | 'secrets' | 'objects' | 'events' | 'budgets'>

/** The platform on its embedded parts, all services in one process, with two tenants. */
export async function openIsolationWorld() {
  const folder = await mkdtemp(join(tmpdir(), 'soma-isolation-'))
  const config = Config.parse({
    data: join(folder, 'data'),
    http: { port: 0, maxEventLoopDelayMilliseconds: 0, publicUrl: 'http://localhost:8000' },
    rateLimit: { perMinute: 1_000_000, unauthenticatedPerMinute: 1_000_000 },
    log: { level: 'silent' },
  })
  const platform = await openPlatform({
    config,
    services: SERVICES,
    adapters: ADAPTERS,
    logger: await createLogger(config.log),
    version: 'test',
  })
  const needs = platform.needs as Opened
  // No service keeps anything in these two yet, so nobody opened them.
  const cache: Cache = await openPostgresCache(needs.sql)
  const vectors: Vectors = await openLanceVectors({ directory: join(folder, 'vectors') })

  async function addTenant(name: string): Promise<TenantUnderTest> {
    const capabilities = defaultCapabilities('administrator')
    const { key } = await issueApiKey(needs.sql, { tenant: name, name: 'administrator', capabilities }, 'platform')
    return {
      name,
      mark: `zq${randomBytes(8).toString('hex')}qz`,
      ids: new Map(),
      async call(method, path, body, headers = {}) {
        const type: Record<string, string> = body ? { 'content-type': 'application/json' } : {}
        const response = await fetch(`${platform.url}${path}`, {
          method,
          headers: { authorization: `Bearer ${key}`, ...type, ...headers },
          body: body && JSON.stringify(body),
        })
        const text = await response.text()
        const isJson = response.headers.get('content-type')?.includes('json') && !response.headers.get('content-type')?.includes('json-seq')
        return { status: response.status, text, body: isJson ? parsed(text) : {} }
      },
    }
  }

  return {
    url: platform.url,
    ...needs,
    cache,
    vectors,
    tenants: [await addTenant('acme'), await addTenant('globex')] as const,
    async close() {
      await vectors.close()
      await cache.close()
      await platform.lifecycle.stop('the tests ended')
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

/** JSON lines are not one JSON. */
function parsed(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return {}
  }
}
