import { randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Lease, Locks } from './port.ts'

const LONG = { ttlMilliseconds: 60_000 }
const PATIENT = { ...LONG, waitMilliseconds: 30_000 }

/** What every locks driver promises. Each `open` stands for another process on the same backend. */
export function locksConformance(driver: string, open: () => Promise<Locks>): void {
  describe(`locks: ${driver}`, () => {
    let here: Locks
    let there: Locks
    beforeAll(async () => {
      here = await open()
      there = await open()
    })
    afterAll(() => Promise.all([here.close(), there.close()]))

    test('of many who try at once, exactly one gets the lock', async () => {
      const name = randomUUID()
      const tries = await Promise.all(Array.from({ length: 40 }, (_, index) => (index % 2 ? here : there).tryAcquire(name, LONG)))
      expect(tries.filter(Boolean)).toHaveLength(1)
    })

    test('everybody can see who holds it, and that nobody does', async () => {
      const name = randomUUID()
      expect(await there.inspect(name)).toBeUndefined()
      const lease = await take(here, name, { ...LONG, holder: 'worker 7' })
      const seen = await there.inspect(name)
      expect(seen).toMatchObject({ holder: 'worker 7', token: lease.token })
      expect(Math.abs((seen?.expiresAt ?? 0) - lease.expiresAt)).toBeLessThan(5_000)
      await lease.release()
      expect(await there.inspect(name)).toBeUndefined()
    })

    test('one name does not block another, however alike', async () => {
      const name = `${randomUUID()}/ü:*?[a]%`
      for (const other of [name, `${name} `, name.toUpperCase(), name.replace('ü', 'u\u0308')]) {
        expect(await here.tryAcquire(other, LONG)).toBeDefined()
      }
    })

    test('tokens grow with every holder, in whichever process, after release and after expiry', async () => {
      const name = randomUUID()
      const tokens: bigint[] = []
      for (let round = 0; round < 10; round++) {
        const lease = await take(round % 2 ? here : there, name, { ttlMilliseconds: round % 3 ? 60_000 : 20, waitMilliseconds: 5_000 })
        tokens.push(lease.token)
        if (round % 3) await lease.release()
      }
      expect(tokens).toEqual([...new Set(tokens)].sort((a, b) => (a < b ? -1 : 1)))
    })

    test('renewing keeps the lock beyond its time to live', async () => {
      const name = randomUUID()
      const lease = await take(here, name, { ttlMilliseconds: 1_500 })
      const firstExpiry = lease.expiresAt
      while (Date.now() <= firstExpiry + 50) {
        await pass(20)
        expect(await there.tryAcquire(name, LONG)).toBeUndefined()
        expect(await lease.renew()).toBe(true)
      }
      expect(lease.expiresAt).toBeGreaterThan(firstExpiry)
    })

    test('a lease says it ends no later than it does', async () => {
      const name = randomUUID()
      const lease = await take(here, name, { ttlMilliseconds: 200 })
      await take(there, name, { ...LONG, waitMilliseconds: 5_000 })
      expect(Date.now()).toBeGreaterThanOrEqual(lease.expiresAt)
    })

    test('a holder that lost its lease can not renew it, and its release does not free the new holder’s lock', async () => {
      const name = randomUUID()
      const lost = await take(here, name, { ttlMilliseconds: 30 })
      const held = await take(there, name, { ...LONG, waitMilliseconds: 5_000 })
      expect(held.token).toBeGreaterThan(lost.token)
      expect(await lost.renew()).toBe(false)
      await lost.release()
      expect(await there.inspect(name)).toMatchObject({ token: held.token })
      expect(await here.tryAcquire(name, LONG)).toBeUndefined()
      expect(await held.renew()).toBe(true)
    })

    test('a lease that ran out is lost, even when nobody else took the lock', async () => {
      const name = randomUUID()
      const lease = await take(here, name, { ttlMilliseconds: 30 })
      await expect.poll(() => here.inspect(name)).toBeUndefined()
      expect(await lease.renew()).toBe(false)
    })

    test('a released lease can not be renewed, and releasing it again frees nobody else’s lock', async () => {
      const name = randomUUID()
      const first = await take(here, name, LONG)
      await first.release()
      expect(await first.renew()).toBe(false)
      const second = await take(there, name, LONG)
      await first.release()
      expect(await there.inspect(name)).toMatchObject({ token: second.token })
    })

    test.each(['the same process', 'another process'])('who waits in %s is woken by the release', async (where) => {
      const name = randomUUID()
      const lease = await take(here, name, LONG)
      const waiting = (where === 'another process' ? there : here).acquire(name, PATIENT)
      await expect(Promise.race([waiting, pass(150, 'still waits')])).resolves.toBe('still waits')
      const releasedAt = performance.now()
      await lease.release()
      expect((await waiting)?.token).toBeGreaterThan(lease.token)
      expect(performance.now() - releasedAt).toBeLessThan(10_000)
    })

    test('who waits gets the lock of a holder that vanished', async () => {
      const name = randomUUID()
      await take(here, name, { ttlMilliseconds: 250 })
      expect(await there.acquire(name, PATIENT)).toBeDefined()
    })

    test('who waits gives up at its time, and one without patience at once', async () => {
      const name = randomUUID()
      await take(here, name, LONG)
      const began = performance.now()
      expect(await there.acquire(name, { ...LONG, waitMilliseconds: 0 })).toBeUndefined()
      expect(await there.acquire(name, { ...LONG, waitMilliseconds: 200 })).toBeUndefined()
      expect(performance.now() - began).toBeGreaterThanOrEqual(199)
      expect(performance.now() - began).toBeLessThan(10_000)
    })

    test('one that gives up does not hold up those behind it', async () => {
      const name = randomUUID()
      const lease = await take(here, name, LONG)
      const impatient = there.acquire(name, { ...LONG, waitMilliseconds: 100 })
      const patient = there.acquire(name, PATIENT)
      expect(await impatient).toBeUndefined()
      await lease.release()
      expect(await patient).toBeDefined()
    })

    test('everybody who waits gets a turn, alone', async () => {
      const name = randomUUID()
      let inside = 0
      const turn = async (locks: Locks) => {
        const lease = await take(locks, name, PATIENT)
        inside++
        expect(inside).toBe(1)
        await pass(1)
        inside--
        await lease.release()
        return lease.token
      }
      const tokens = await Promise.all(Array.from({ length: 40 }, (_, index) => turn(index % 2 ? here : there)))
      expect(new Set(tokens).size).toBe(40)
    })

    test('no two holders ever pass a fencing check, whatever they do with leases that run out', async () => {
      await fc.assert(fc.asyncProperty(fc.array(visits, { minLength: 8, maxLength: 16 }), contend), {
        numRuns: 30,
        interruptAfterTimeLimit: 4_000,
        endOnFailure: true,
      })
    })

    /** Lets contenders at one name in both processes; each visit works, perhaps for longer than its lease. */
    async function contend(contenders: Visit[][]): Promise<void> {
      const name = randomUUID()
      const protectedThing = { highest: 0n, writers: new Map<bigint, string>() }
      const held: { token: bigint; from: number; until: number }[] = []

      const visit = async (who: string, locks: Locks, { ttl, work, renews, releases }: Visit) => {
        const lease = await take(locks, name, { ttlMilliseconds: ttl, waitMilliseconds: 30_000, holder: who })
        const from = Date.now()
        await pass(work)
        if (renews) await lease.renew()
        const sure = Date.now() < lease.expiresAt
        const passes = lease.token >= protectedThing.highest
        if (sure) expect(passes, `a valid lease was refused: ${lease.token} after ${protectedThing.highest}`).toBe(true)
        if (passes) {
          protectedThing.highest = lease.token
          expect(protectedThing.writers.get(lease.token) ?? who, 'two holders got one token').toBe(who)
          protectedThing.writers.set(lease.token, who)
        }
        const end = Math.min(Date.now(), lease.expiresAt)
        if (releases) await lease.release()
        held.push({ token: lease.token, from, until: releases ? end : lease.expiresAt })
      }

      await Promise.all(
        contenders.map(async (steps, index) => {
          for (const [round, step] of steps.entries()) await visit(`${index}.${round}`, index % 2 ? here : there, step)
        }),
      )
      held.sort((a, b) => (a.token < b.token ? -1 : 1))
      for (const [index, later] of held.entries()) {
        const earlier = held[index - 1]
        if (!earlier) continue
        expect(earlier.token).not.toBe(later.token)
        expect(later.from, 'two leases were valid at once').toBeGreaterThanOrEqual(earlier.until)
      }
    }

    test('closing ends what waits', async () => {
      const name = randomUUID()
      const third = await open()
      await take(here, name, LONG)
      const waiting = third.acquire(name, PATIENT)
      const outcome = expect(waiting).rejects.toMatchObject({ code: 'shutting_down' })
      await third.close()
      await outcome
    })

    test.each([
      ['no name', '', LONG],
      ['a NUL in the name', 'a\0b', LONG],
      ['half a character', '\ud800', LONG],
      ['an endless name', 'x'.repeat(100_000), LONG],
      ['no time', 'name', { ttlMilliseconds: 0 }],
      ['negative time', 'name', { ttlMilliseconds: -1 }],
      ['not a time', 'name', { ttlMilliseconds: Number.NaN }],
      ['endless time', 'name', { ttlMilliseconds: Number.POSITIVE_INFINITY }],
      ['an empty holder', 'name', { ...LONG, holder: '' }],
    ])('refuses %s', async (_, name, options) => {
      await expect(here.tryAcquire(name, options)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(here.acquire(name, { ...options, waitMilliseconds: 0 })).rejects.toMatchObject({ code: 'invalid_input' })
    })
  })
}

interface Visit {
  ttl: number
  work: number
  renews: boolean
  releases: boolean
}

const visits = fc.array(
  fc.record({
    ttl: fc.integer({ min: 5, max: 60 }),
    work: fc.integer({ min: 0, max: 40 }),
    renews: fc.boolean(),
    releases: fc.boolean(),
  }),
  { minLength: 1, maxLength: 4 },
)

async function take(
  locks: Locks,
  name: string,
  options: { ttlMilliseconds: number; waitMilliseconds?: number; holder?: string },
): Promise<Lease> {
  const lease = await locks.acquire(name, { waitMilliseconds: 0, ...options })
  if (!lease) throw new Error(`${name} was not free`)
  return lease
}
