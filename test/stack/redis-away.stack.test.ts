import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SERVICES } from '@soma/cli/services'
import { openKillSwitches } from '@soma/kernel/kill/kill-switches'
import { openRedisBroadcast } from '@soma/ports/broadcast/redis'
import { openRedisCache } from '@soma/ports/cache/redis'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openRedisLocks } from '@soma/ports/locks/redis'
import { openRedis, type Redis, shareRedis } from '@soma/ports/redis/redis'
import { openTestSql } from '@soma/ports/sql/testing'
import { openCache } from '@soma/stack/cache'
import type { ProcessIdentity } from '@soma/stack/process-identity'
import { endProcess, runProcess } from '@soma/stack/run-process'
import { redisProcess, redis as redisServer } from '@soma/stack/servers/redis'
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { freePort, openPlatformProcesses } from './platform-process.ts'

const PASSWORD = 'a-password-that-nobody-may-read'
const PATIENT = { ttlMilliseconds: 60_000, waitMilliseconds: 30_000 }
const AWAY = { code: 'dependency_unavailable', details: { dependency: 'redis' } }
/** No call may take longer than five seconds, on whatever machine this runs. */
const AT_MOST = 8_000

const NO_GIT = `apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: own, version: 1.0.0 }
rules:
  - id: no-git
    says: Nobody looks into repositories here.
    applies: { actions: [tool.git.*] }
    decide: deny
`

const folder = await mkdtemp(join(tmpdir(), 'soma-redis-'))
const port = await freePort()
const settings = { url: `redis://:${PASSWORD}@127.0.0.1:${port}`, sentinels: [], sentinelName: 'none', prefix: 'away' }
let server: ProcessIdentity
let sql: Awaited<ReturnType<typeof openTestSql>>
const opened: Redis[] = []

/** A server that keeps nothing: each start begins from nothing. */
async function startServer(): Promise<void> {
  const { command, env } = redisProcess(folder, 'redis', openCache())
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--requirepass', PASSWORD, '--save', '', '--dir', folder]
  server = await runProcess(folder, { name: 'redis', command, args, env })
}

async function open(): Promise<Redis> {
  const redis = await openRedis(settings)
  opened.push(redis)
  return redis
}

/** Until a call is answered again: the first after a pause may come before the connection is back. */
async function whenBack(redis: Redis): Promise<void> {
  await expect.poll(() => redis.version().catch(() => undefined)).toMatch(/^\d/)
}

async function timed(call: Promise<unknown>): Promise<number> {
  const began = performance.now()
  await expect(call).rejects.toMatchObject(AWAY)
  return performance.now() - began
}

beforeAll(async () => {
  await redisServer.install(openCache())
  sql = await openTestSql()
})
beforeEach(async () => {
  await startServer()
  await expect.poll(() => openRedis(settings).then((redis) => redis.close() ?? 'up', String)).toBe('up')
})
afterEach(async () => {
  for (const redis of opened.splice(0)) redis.close()
  await endProcess(server, 'SIGKILL')
})
afterAll(async () => {
  await sql.close()
  await rm(folder, { recursive: true, force: true })
})

test('while Redis is away calls fail, soon at once; when it is back everything goes on', async () => {
  const [redis, other] = [await open(), await open()]
  const cache = openRedisCache(redis)
  const broadcast = openRedisBroadcast(other)
  const heard: unknown[] = []
  let gaps = 0
  await broadcast.subscribe(
    'news',
    (message) => heard.push(message),
    () => gaps++,
  )
  await endProcess(server, 'SIGKILL')
  expect(await timed(cache.get('acme', 'key'))).toBeLessThan(AT_MOST)
  await expect.poll(() => timed(cache.get('acme', 'key'))).toBeLessThan(100)
  await expect(broadcast.publish('news', 'lost')).rejects.toMatchObject(AWAY)
  await startServer()
  await whenBack(redis)
  await cache.set('acme', 'key', 'value', 60_000)
  expect(await cache.get('acme', 'key')).toBe('value')
  await expect.poll(() => gaps).toBe(1)
  await broadcast.publish('news', 'again')
  await expect.poll(() => heard).toEqual(['again'])
})

test('a server that hangs holds nobody up for more than five seconds, and a gap is told of', async () => {
  const redis = await open()
  const cache = openRedisCache(redis)
  const broadcast = openRedisBroadcast(redis)
  let gaps = 0
  const ignore = () => undefined
  await broadcast.subscribe('news', ignore, () => gaps++)
  process.kill(server.pid, 'SIGSTOP')
  expect(await timed(cache.increment('acme', 'key', 1, 60_000))).toBeLessThan(AT_MOST)
  await expect.poll(() => timed(cache.get('acme', 'key'))).toBeLessThan(100)
  await expect.poll(() => timed(broadcast.subscribe('more news', ignore))).toBeLessThan(100)
  process.kill(server.pid, 'SIGCONT')
  await whenBack(redis)
  await cache.set('acme', 'key', 'value', 60_000)
  await expect.poll(() => gaps).toBe(1)
})

test('tokens go on growing though the server came back without anything, and who waits gets the lock that it forgot', async () => {
  const [here, there] = await Promise.all([open(), open()].map(async (redis) => openRedisLocks({ redis: await redis, sql })))
  if (!here || !there) throw new Error('Both are open.')
  const first = await here.acquire('lock', PATIENT)
  await endProcess(server, 'SIGKILL')
  await startServer()
  let second: typeof first
  await expect
    .poll(async () => {
      second ??= await there.acquire('lock', PATIENT).catch(() => undefined)
      return second?.token
    })
    .toBeGreaterThan(first?.token ?? 0n)
  await expect.poll(() => first?.renew().catch(() => undefined)).toBe(false)
  const waiting = here.acquire('lock', PATIENT)
  await second?.release()
  expect((await waiting)?.token).toBeGreaterThan(second?.token ?? 0n)
})

test('tokens go on growing though everything was flushed, and though others drew tokens meanwhile', async () => {
  const redis = await open()
  const locks = await openRedisLocks({ redis, sql })
  const first = await locks.tryAcquire('lock', PATIENT)
  await redis.run((client) => client.flushall())
  const second = await locks.tryAcquire('lock', PATIENT)
  expect(second?.token).toBeGreaterThan(first?.token ?? 0n)
  await second?.release()
  const { rows } = await sql.platform.query('select locks.take_block(1000) as below')
  const elsewhere = BigInt((rows[0] as { below: string }).below) + 1000n
  await expect
    .poll(async () => {
      const lease = await locks.tryAcquire('lock', PATIENT)
      await lease?.release()
      return lease?.token
    })
    .toBeGreaterThan(elsewhere)
})

test('a switch pulled while Redis is away acts in every process, and is lifted there', async () => {
  const journal = await openPostgresJournal(sql)
  const [here, there] = await Promise.all(
    [open(), open()].map(async (redis) => openKillSwitches({ sql, journal, broadcast: openRedisBroadcast(await redis) })),
  )
  if (!here || !there) throw new Error('Both are open.')
  const subject = { tenant: 'acme', tool: 'git.log' }
  const pull = () => here.pull({ tenant: 'acme', scope: 'tool', target: 'git', reason: 'r', by: 'user:ada' })
  const told = await pull()
  await expect.poll(() => there.stopping(subject)?.id, { timeout: 5_000 }).toBe(told.id)
  await here.lift({ tenant: 'acme', id: told.id, by: 'user:ada' })
  await endProcess(server, 'SIGKILL')
  await expect.poll(() => there.stopping(subject), { timeout: 5_000 }).toBeUndefined()
  const untold = await pull()
  await expect.poll(() => there.stopping(subject)?.id, { timeout: 5_000 }).toBe(untold.id)
  await here.lift({ tenant: 'acme', id: untold.id, by: 'user:ada' })
  await expect.poll(() => there.stopping(subject), { timeout: 5_000 }).toBeUndefined()
  await Promise.all([here.close(), there.close()])
  await journal.close()
})

test('drivers share connections, each stops its own listening, and the last one closes them', async () => {
  const shared = { ...settings }
  const [one, other] = await Promise.all([shareRedis(shared), shareRedis(shared)])
  const [mine, theirs] = [openRedisBroadcast(one), openRedisBroadcast(other)]
  const heard: string[] = []
  await mine.subscribe('news', () => heard.push('mine'))
  await theirs.subscribe('news', () => heard.push('theirs'))
  await theirs.publish('news', 1)
  await expect.poll(() => heard.toSorted()).toEqual(['mine', 'theirs'])
  await mine.close()
  await theirs.publish('news', 2)
  await expect.poll(() => heard.length).toBe(3)
  const clients = await openRedis(settings)
  opened.push(clients)
  const count = async () => ((await clients.run((client) => client.client('LIST'))) as string).trim().split('\n').length
  expect(await count()).toBe(4)
  await theirs.close()
  await expect.poll(count).toBe(2)
})

test.each([
  ['a wrong password', { ...settings, url: `redis://:wrong-${PASSWORD}@127.0.0.1:${port}` }, /WRONGPASS/],
  ['Sentinels that are not there', { ...settings, url: undefined, sentinels: ['127.0.0.1:1'], password: PASSWORD }, /127\.0\.0\.1:1/],
])('%s is said with what to do, and no password', async (_, wrong, reason) => {
  const failure = (await openRedis(wrong).catch((error: unknown) => error)) as Error
  expect(failure).toMatchObject({ ...AWAY, message: expect.stringMatching(reason) })
  expect(failure.message).toContain('SOMA_REDIS_')
  expect(failure.cause).toBeUndefined()
  expect(JSON.stringify(failure) + failure.stack).not.toContain(PASSWORD)
})

test('a constitution published while Redis is away is in force in every process', async () => {
  const platform = await openPlatformProcesses({ SOMA_DRIVERS_BROADCAST: 'redis', SOMA_REDIS_URL: settings.url })
  onTestFinished(() => platform.close())
  const [mostPort, toolsPort] = [await freePort(), await freePort()]
  const others = SERVICES.map(({ name }) => name).filter((name) => name !== 'tool-service')
  const most = await platform.start(others, { port: mostPort, peerUrl: `http://127.0.0.1:${toolsPort}` })
  const tools = await platform.start(['tool-service'], { port: toolsPort, peerUrl: most.url })
  const call = async () => {
    const answer = await platform.call(tools.url, '/v1/operations/git.inspect/execute', { body: { input: { repository: process.cwd() } } })
    return answer.ok ? 'done' : ((await answer.json()) as { code: string }).code
  }
  expect(await call()).toBe('done')
  await endProcess(server, 'SIGKILL')
  const proposed = await platform.call(most.url, '/v1/constitution/proposals', { body: { yaml: NO_GIT, note: 'A test.' } })
  const { id } = (await proposed.json()) as { id: string }
  expect((await platform.call(most.url, `/v1/constitution/proposals/${id}/publish`, { body: {} })).status).toBe(201)
  await expect.poll(call, { timeout: 5_000 }).toBe('policy_denied')
})
