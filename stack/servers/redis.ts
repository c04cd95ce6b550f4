import { existsSync } from 'node:fs'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Cache } from '../cache.ts'
import { debianEnvironment, installDebian } from '../install/debian.ts'
import { defineServer, type Place, type ServerProcess } from '../server.ts'

/** Under which the Sentinels know the servers. */
const NAME = 'soma'
const NODES = ['redis-1', 'redis-2'] as const
const SENTINELS = ['sentinel-1', 'sentinel-2', 'sentinel-3'] as const
const PROCESSES = [...NODES, ...SENTINELS]

/** A primary, a replica, and three Sentinels that make the replica the primary when the primary has been silent for a second. */
export const redis = defineServer({
  name: 'redis',
  summary: 'Locks, cache and broadcast',
  version: '7.0',
  ports: PROCESSES,
  async install(cache) {
    // Debian's redis-server and redis-sentinel are this one program under other names; it looks at its name to know what to be.
    const root = await installDebian(cache, 'redis-tools')
    await cache.once('redis/bin', (draft) => symlink(join(root, 'usr/bin/redis-check-rdb'), join(draft, 'redis-server')))
  },
  async start(place, cache) {
    await configure(place)
    for (const name of PROCESSES) await place.run(redisProcess(place.folder, name, cache))
  },
  async checkReady(place) {
    const primary = await askSentinel(place, (sentinel) => sentinel.call('sentinel', 'master', NAME))
    const state = pairs(primary as string[])
    if (state.get('flags') !== 'master') throw new Error(`The primary is ${state.get('flags')}.`)
    if (state.get('num-slaves') !== '1') throw new Error('No replica is known to the Sentinels.')
    if (state.get('num-other-sentinels') !== '2') throw new Error('The Sentinels do not know each other.')
    const replication = await ask(Number(state.get('port')), place.secret('password'), (server) => server.info('replication'))
    if (!/^role:master\r?$/m.test(replication)) throw new Error('The primary is a replica.')
    if (!/^slave0:.*state=online/m.test(replication)) throw new Error('The replica does not follow.')
  },
  env: (place) => ({
    SOMA_REDIS_SENTINELS: SENTINELS.map((name) => `127.0.0.1:${place.port(name)}`).join(','),
    SOMA_REDIS_SENTINEL_NAME: NAME,
    SOMA_REDIS_PASSWORD: place.secret('password'),
    SOMA_REDIS_SENTINEL_PASSWORD: place.secret('sentinel-password'),
  }),
  async readVersion(place) {
    const about = await ask(place.port('redis-1'), place.secret('password'), (server) => server.info('server'))
    return /^redis_version:(\S+)/m.exec(about)?.[1] ?? ''
  },
})

/** One of the server's processes on its configuration: what a start runs, and what brings a killed one back. */
export function redisProcess(folder: string, name: string, cache: Cache): ServerProcess {
  const isSentinel = name.startsWith('sentinel')
  return {
    name,
    command: cache.path('redis/bin', 'redis-server'),
    args: [join(folder, `${name}.conf`), ...(isSentinel ? ['--sentinel'] : [])],
    env: debianEnvironment(cache.path('debian/redis-tools')),
  }
}

/**
 * Servers and Sentinels rewrite their configuration with who is the primary now, so it is written once, and from then on only ports that
 * moved are changed in it.
 */
async function configure(place: Place): Promise<void> {
  const moved = new Map<string, string>()
  for (const name of PROCESSES) {
    const file = join(place.folder, `${name}.conf`)
    const [, last] = existsSync(file) ? (/^port (\d+)/m.exec(await readFile(file, 'utf8')) ?? []) : []
    if (last === undefined) await writeConfiguration(place, name, file)
    else moved.set(last, String(place.port(name)))
  }
  for (const name of PROCESSES) {
    const file = join(place.folder, `${name}.conf`)
    const text = await readFile(file, 'utf8')
    await writeFile(
      file,
      text.replace(/(?<=\s)\d+(?=\s)/g, (word) => moved.get(word) ?? word),
      { mode: 0o600 },
    )
  }
}

async function writeConfiguration(place: Place, name: (typeof PROCESSES)[number], file: string): Promise<void> {
  const folder = join(place.folder, `${name}.data`)
  await mkdir(folder, { recursive: true })
  const isSentinel = name.startsWith('sentinel')
  const settings = [
    `port ${place.port(name)}`,
    'bind 127.0.0.1',
    `dir "${folder}"`,
    ...(isSentinel ? sentinelSettings(place) : nodeSettings(place)),
  ]
  if (name === 'redis-2') settings.push(`replicaof 127.0.0.1 ${place.port('redis-1')}`)
  await writeFile(file, `${settings.join('\n')}\n`, { mode: 0o600 })
}

function nodeSettings(place: Place): string[] {
  const password = place.secret('password')
  return [
    `requirepass ${password}`,
    `masterauth ${password}`,
    // A restart finds sessions and held leases again, but for the last second. Fencing tokens need no more: they outgrow what was lost.
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'repl-diskless-sync-delay 0',
  ]
}

function sentinelSettings(place: Place): string[] {
  return [
    `requirepass ${place.secret('sentinel-password')}`,
    `sentinel monitor ${NAME} 127.0.0.1 ${place.port('redis-1')} 2`,
    `sentinel auth-pass ${NAME} ${place.secret('password')}`,
    `sentinel down-after-milliseconds ${NAME} 1000`,
    `sentinel failover-timeout ${NAME} 5000`,
    `sentinel parallel-syncs ${NAME} 1`,
  ]
}

function askSentinel<Answer>(place: Place, question: (sentinel: Redis) => Promise<Answer>): Promise<Answer> {
  return ask(place.port('sentinel-1'), place.secret('sentinel-password'), question)
}

async function ask<Answer>(port: number, password: string, question: (server: Redis) => Promise<Answer>): Promise<Answer> {
  const server = new Redis({ host: '127.0.0.1', port, password, lazyConnect: true, retryStrategy: null, commandTimeout: 2000 })
  // Refused connections also reject what waits for them.
  server.on('error', () => undefined)
  try {
    await server.connect()
    return await question(server)
  } finally {
    server.disconnect()
  }
}

function pairs(flat: readonly string[]): Map<string, string> {
  return new Map(flat.flatMap((value, index) => (index % 2 === 0 ? [[value, flat[index + 1] as string]] : [])))
}
