import { randomUUID } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import type { Lease, Locks } from '@soma/ports/locks/port'
import { openRedisLocks } from '@soma/ports/locks/redis'
import { openConnection } from '@soma/ports/redis/connection'
import { openRedis } from '@soma/ports/redis/redis'
import { openTestSql } from '@soma/ports/sql/testing'
import { openCache } from '@soma/stack/cache'
import type { ProcessIdentity } from '@soma/stack/process-identity'
import { endProcess, runProcess } from '@soma/stack/run-process'
import { SERVERS } from '@soma/stack/servers'
import { redisProcess } from '@soma/stack/servers/redis'
import { openStack } from '@soma/stack/stack'
import { afterAll, beforeAll, expect, test } from 'vitest'

/** How often the primary is killed. */
const ROUNDS = Number(process.env.FAILOVER_ROUNDS || 3)
const CONTENDERS = 12
const LOCKS = ['north', 'south', 'east']
const LEASE = { ttlMilliseconds: 1_500, waitMilliseconds: 3_000 }
/** A group of our own, for its servers are killed. */
const stack = openStack(SERVERS, await mkdtemp(join(tmpdir(), 'soma-failover-')))
const folder = join(stack.folder, 'redis')
const nodes = new Map<string, ProcessIdentity>()
let sql: Awaited<ReturnType<typeof openTestSql>>
let group: Awaited<ReturnType<typeof readGroup>>

beforeAll(async () => {
  await stack.up(['redis'])
  for (const { name, ...identity } of (await stack.stateOf('redis')).processes) nodes.set(name, identity)
  group = await readGroup()
  sql = await openTestSql()
  const tables = `
    create table fences (name text primary key, token bigint not null default 0);
    create table writes (position bigint generated always as identity primary key, name text, token bigint, holder text)`
  await sql.migrate('failover', [{ name: '001-fences-and-writes', up: tables }])
  await sql.platform.query('insert into failover.fences (name) select unnest($1::text[])', [[...LOCKS, 'sleeper']])
})
afterAll(async () => {
  await sql.close()
  for (const identity of nodes.values()) await endProcess(identity, 'SIGKILL')
  await stack.remove()
})

async function readGroup() {
  const [env, { ports }] = [await stack.env(), await stack.stateOf('redis')]
  const read = (name: string) => env[`SOMA_REDIS_${name}`] as string
  return {
    ports,
    password: read('PASSWORD'),
    sentinelPassword: read('SENTINEL_PASSWORD'),
    sentinels: read('SENTINELS').split(','),
    sentinelName: read('SENTINEL_NAME'),
    prefix: 'failover',
  }
}

/** As another process has them: connections of its own. */
async function openLocks(): Promise<Locks> {
  return openRedisLocks({ redis: await openRedis(group), sql })
}

/** What a lock protects: a row that refuses whoever comes with a lower token than it has seen. */
async function write(lease: Lease, holder: string): Promise<boolean> {
  const { rowCount } = await sql.platform.query(
    `with passed as (update failover.fences set token = $2 where name = $1 and token <= $2 returning name)
     insert into failover.writes (name, token, holder) select name, $2, $3 from passed`,
    [lease.name, lease.token, holder],
  )
  return rowCount === 1
}

interface Claim {
  name: string
  token: bigint
  askedAt: number
  gotAt: number
}

/** Takes locks in turn and writes under each, for as long as it is let; a stale holder does not notice, and writes on. */
async function contend(locks: Locks, claims: Claim[], signal: AbortSignal): Promise<void> {
  for (let turn = 0; !signal.aborted; turn++) {
    try {
      const name = LOCKS[turn % LOCKS.length] as string
      const askedAt = performance.now()
      const lease = await locks.acquire(name, LEASE)
      if (!lease) continue
      claims.push({ name, token: lease.token, askedAt, gotAt: performance.now() })
      const holder = randomUUID()
      for (let writes = 0; writes < 3; writes++) await write(lease, holder)
      await lease.release()
    } catch (error) {
      if (!SomaError.is(error, 'dependency_unavailable')) throw error
      await pass(50)
    }
  }
}

/** Again and again while Redis is away, as a failover may be under way. */
async function takeSoon(locks: Locks, name: string): Promise<Lease> {
  let lease: Lease | undefined
  const take = async () => {
    lease ??= await locks.acquire(name, { ttlMilliseconds: 120_000, waitMilliseconds: 0 })
    return lease
  }
  await expect.poll(() => take().catch(() => undefined), { interval: 200 }).toBeDefined()
  return lease as unknown as Lease
}

async function ask<Answer>(
  port: number,
  password: string,
  question: Parameters<ReturnType<typeof openConnection>['run']>[0],
): Promise<Answer> {
  const connection = openConnection({ ...group, url: `redis://:${password}@127.0.0.1:${port}` })
  try {
    return (await connection.run(question)) as Answer
  } finally {
    connection.close()
  }
}

async function findPrimary(): Promise<string> {
  const [, port] = await ask<string[]>(group.ports['sentinel-1'] as number, group.sentinelPassword, (sentinel) =>
    sentinel.call('sentinel', 'get-master-addr-by-name', group.sentinelName),
  )
  return Object.entries(group.ports).find(([, each]) => String(each) === port)?.[0] as string
}

/** From now on the primary's writes reach nobody: its replica was cut off and does not know the password by which it could come back. */
async function cutReplicaOff(primary: string): Promise<void> {
  await ask(group.ports[primary] as number, group.password, async (server) => {
    await server.config('SET', 'requirepass', randomUUID())
    await server.call('client', 'kill', 'type', 'replica')
  })
}

async function comeBack(name: string): Promise<void> {
  nodes.set(name, await runProcess(folder, redisProcess(folder, name, openCache())))
  await expect
    .poll(async () => (await stack.status()).find(({ server }) => server.name === 'redis')?.isReady, { timeout: 60_000 })
    .toBe(true)
}

async function countWrites(): Promise<number> {
  return Number((await sql.platform.query('select count(*) from failover.writes')).rows[0].count)
}

test(`no two holders pass a fence together and tokens never go back, though ${ROUNDS} failovers lose the last leases`, async ({
  annotate,
}) => {
  const contenders = await Promise.all([openLocks(), openLocks()])
  const patient = await openLocks()
  const claims: Claim[] = []
  const stopping = new AbortController()
  const work = Array.from({ length: CONTENDERS }, (_, index) => contend(contenders[index % 2] as Locks, claims, stopping.signal))
  const standstills: number[] = []

  for (let round = 0; round < ROUNDS; round++) {
    const primary = await findPrimary()
    await cutReplicaOff(primary)
    const lost = await takeSoon(patient, 'sleeper')
    const before = claims.length
    await expect.poll(() => claims.length).toBeGreaterThan(before + 20)

    await endProcess(nodes.get(primary) as ProcessIdentity, 'SIGKILL')
    const killedAt = performance.now()
    await expect.poll(findPrimary).not.toBe(primary)
    const written = await countWrites()
    await expect.poll(countWrites).toBeGreaterThan(written)
    standstills.push(performance.now() - killedAt)

    // The new primary has never heard of the lease, so two hold the lock now. The fence lets one of them write.
    const held = await takeSoon(patient, 'sleeper')
    expect(held.token).toBeGreaterThan(lost.token)
    expect(await write(held, `held ${round}`)).toBe(true)
    expect(lost.expiresAt).toBeGreaterThan(Date.now())
    expect(await write(lost, `lost ${round}`)).toBe(false)
    expect(await lost.renew()).toBe(false)
    expect(await held.renew()).toBe(true)
    await held.release()
    await comeBack(primary)
  }

  stopping.abort()
  await Promise.all(work)
  await Promise.all([...contenders, patient].map((locks) => locks.close()))
  await annotate(`${claims.length} leases; work stood still for ${standstills.map(Math.round).join(', ')} ms`)
  expect(Math.max(...standstills)).toBeLessThan(20_000)
  expectGrowing(claims)
  await expectOneHolderAtATime()
})

/** Whoever asked after another had got the lock has the higher token. */
function expectGrowing(claims: readonly Claim[]): void {
  for (const name of LOCKS) {
    const got = claims.filter((claim) => claim.name === name).sort((one, other) => one.gotAt - other.gotAt)
    expect(got.length).toBeGreaterThan(0)
    const asked = got.toSorted((one, other) => one.askedAt - other.askedAt)
    let highest = 0n
    let seen = 0
    for (const claim of asked) {
      for (; (got[seen]?.gotAt ?? Number.POSITIVE_INFINITY) < claim.askedAt; seen++) {
        const { token } = got[seen] as Claim
        if (token > highest) highest = token
      }
      expect(claim.token, `${name} went back`).toBeGreaterThan(highest)
    }
  }
}

/** In the order in which the fences let them through: a holder's writes stand together, and a token has one holder. */
async function expectOneHolderAtATime(): Promise<void> {
  const { rows } = await sql.platform.query('select name, token, holder from failover.writes order by position')
  const last = new Map<string, { token: bigint; holder: string }>()
  for (const { name, token, holder } of rows as { name: string; token: string; holder: string }[]) {
    const before = last.get(name)
    if (before?.holder !== holder) expect(BigInt(token), `${name}: ${holder} after ${before?.holder}`).toBeGreaterThan(before?.token ?? 0n)
    else expect(BigInt(token)).toBe(before.token)
    last.set(name, { token: BigInt(token), holder })
  }
}
