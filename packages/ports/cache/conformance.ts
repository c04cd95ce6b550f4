import { randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cache } from './port.ts'

const HOUR = 3_600_000
/** For polls that must end well before the five seconds that a lost connection is allowed. */
const MOMENTS = { timeout: 3_000, interval: 5 }

/** What every cache driver promises. Each `open` stands for another process on the same backend. */
export function cacheConformance(driver: string, open: () => Promise<Cache>): void {
  describe(`cache: ${driver}`, () => {
    const tenant = `t-${randomBytes(6).toString('hex')}`
    const neighbour = `${tenant}-2`
    let here: Cache
    let there: Cache
    beforeAll(async () => {
      here = await open()
      there = await open()
    })
    afterAll(() => Promise.all([here.close(), there.close()]))

    test('any JSON comes back as it was, in every process', async () => {
      await fc.assert(
        fc.asyncProperty(fc.jsonValue(), async (value) => {
          const key = randomUUID()
          await here.set(tenant, key, value, HOUR)
          const same = JSON.parse(JSON.stringify(value))
          for (const cache of [here, there, here]) expect(await cache.get(tenant, key)).toEqual(same)
        }),
        { numRuns: 100 },
      )
    })

    test.each([
      ['null', null],
      ['an empty text', ''],
      ['zero', 0],
      ['false', false],
      ['a text with a NUL and half a character', 'nul \0 and half a character \ud800'],
      ['a megabyte', 'x'.repeat(1_000_000)],
    ])('%s comes back', async (_, value) => {
      const key = randomUUID()
      await here.set(tenant, key, value, HOUR)
      expect((await there.get(tenant, key)) === value).toBe(true)
    })

    test('what was never set, or was deleted, is undefined', async () => {
      const key = randomUUID()
      expect(await here.get(tenant, key)).toBeUndefined()
      await here.set(tenant, key, 1, HOUR)
      await here.delete(tenant, key)
      expect(await here.get(tenant, key)).toBeUndefined()
      await here.delete(tenant, key)
    })

    test('who set a value reads it at once; others see the change within moments', async () => {
      const key = randomUUID()
      await here.set(tenant, key, 'first', HOUR)
      expect(await there.get(tenant, key)).toBe('first')
      await here.set(tenant, key, 'second', HOUR)
      expect(await here.get(tenant, key)).toBe('second')
      await expect.poll(() => there.get(tenant, key), MOMENTS).toBe('second')
      await there.delete(tenant, key)
      expect(await there.get(tenant, key)).toBeUndefined()
      await expect.poll(() => here.get(tenant, key), MOMENTS).toBeUndefined()
    })

    test('after any interleaving of reads and writes, all processes agree on one last value', async () => {
      const step = fc.record({ first: fc.boolean(), writes: fc.boolean() })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 24 }), async (steps) => {
          const key = randomUUID()
          await Promise.all(
            steps.map(({ first, writes }, index) => {
              const cache = first ? here : there
              return writes ? cache.set(tenant, key, index, HOUR) : cache.get(tenant, key)
            }),
          )
          const fresh = await open()
          const last = await fresh.get(tenant, key)
          await fresh.close()
          for (const cache of [here, there]) await expect.poll(() => cache.get(tenant, key), MOMENTS).toEqual(last)
        }),
        { numRuns: 20 },
      )
    })

    test('a caller’s change to its copy reaches nobody', async () => {
      const key = randomUUID()
      const value = { roles: ['reader'] }
      await here.set(tenant, key, value, HOUR)
      value.roles.push('admin')
      const copy = (await here.get(tenant, key)) as { roles: string[] }
      copy.roles.push('admin')
      expect(await here.get(tenant, key)).toEqual({ roles: ['reader'] })
    })

    test('a tenant never sees what another keeps under the same key', async () => {
      const key = randomUUID()
      await here.set(tenant, key, 'ours', HOUR)
      await here.increment(tenant, key, 5, HOUR)
      expect(await here.get(neighbour, key)).toBeUndefined()
      expect(await here.increment(neighbour, key, 1, HOUR)).toBe(1)
      await here.delete(neighbour, key)
      expect(await here.get(tenant, key)).toBe('ours')
      expect(await here.increment(tenant, key, 0, HOUR)).toBe(5)
      // Put together carelessly, these two would be one.
      await here.set(tenant, '2:x', 'mine', HOUR)
      expect(await here.get(neighbour, 'x')).toBeUndefined()
    })

    test('one key is not another, however alike', async () => {
      const key = `${randomUUID()}/ü:*?[a]% `
      const keys = [key, key.trim(), key.toUpperCase(), key.replace('ü', 'u\u0308')]
      for (const [index, each] of keys.entries()) await here.set(tenant, each, index, HOUR)
      expect(await Promise.all(keys.map((each) => there.get(tenant, each)))).toEqual([0, 1, 2, 3])
    })

    test('a value goes after its time, in every process that read it', async () => {
      const key = randomUUID()
      await here.set(tenant, key, 'short', 1_500)
      const setBy = performance.now()
      expect(await here.get(tenant, key)).toBe('short')
      expect(await there.get(tenant, key)).toBe('short')
      await pass(setBy + 1_510 - performance.now())
      expect(await Promise.all([here.get(tenant, key), there.get(tenant, key)])).toEqual([undefined, undefined])
    })

    test('setting again begins the time anew', async () => {
      const key = randomUUID()
      await here.set(tenant, key, 'short', 50)
      await here.set(tenant, key, 'long', HOUR)
      await pass(80)
      expect(await there.get(tenant, key)).toBe('long')
    })

    test('a counter is exact when many processes add to it at once', async () => {
      const key = randomUUID()
      const totals = await Promise.all(
        Array.from({ length: 300 }, (_, index) => (index % 2 ? here : there).increment(tenant, key, 1, HOUR)),
      )
      expect(totals.sort((a, b) => a - b)).toEqual(Array.from({ length: 300 }, (_, index) => index + 1))
    })

    test('a counter adds and takes away any whole number', async () => {
      const key = randomUUID()
      expect(await here.increment(tenant, key, 1_000_000_000_000, HOUR)).toBe(1_000_000_000_000)
      expect(await there.increment(tenant, key, -1_000_000_000_001, HOUR)).toBe(-1)
      expect(await here.increment(tenant, key, 0, HOUR)).toBe(-1)
    })

    test('a counter goes its time after it began, however often it is added to, and starts anew', async () => {
      const key = randomUUID()
      const began = performance.now()
      expect(await here.increment(tenant, key, 1, 1_500)).toBe(1)
      const begunBy = performance.now()
      while (performance.now() < began + 700) {
        expect(await there.increment(tenant, key, 1, 1_500)).toBeGreaterThan(1)
        await pass(20)
      }
      await pass(begunBy + 1_510 - performance.now())
      expect(await there.increment(tenant, key, 1, HOUR)).toBe(1)
      expect(await here.increment(tenant, key, 1, HOUR)).toBe(2)
    })

    test('values and counters of one key are apart, and both are deleted', async () => {
      const key = randomUUID()
      await here.increment(tenant, key, 7, HOUR)
      expect(await here.get(tenant, key)).toBeUndefined()
      await here.set(tenant, key, 'value', HOUR)
      expect(await here.increment(tenant, key, 1, HOUR)).toBe(8)
      await here.delete(tenant, key)
      expect(await here.get(tenant, key)).toBeUndefined()
      expect(await here.increment(tenant, key, 1, HOUR)).toBe(1)
    })

    test('what is closed answers nothing more', async () => {
      const third = await open()
      await third.close()
      await expect(third.get(tenant, 'key')).rejects.toMatchObject({ code: 'shutting_down' })
    })

    test.each([
      ['no key', () => here.get(tenant, '')],
      ['a NUL in the key', () => here.delete(tenant, 'a\0')],
      ['an endless key', () => here.set(tenant, 'x'.repeat(100_000), 1, HOUR)],
      ['no tenant', () => here.get('', 'key')],
      ['what is no tenant', () => here.increment("acme'; drop", 'key', 1, HOUR)],
      ['undefined', () => here.set(tenant, 'key', undefined, HOUR)],
      ['a circle', () => here.set(tenant, 'key', circle(), HOUR)],
      ['a value that is too large', () => here.set(tenant, 'key', 'x'.repeat(9 * 1024 * 1024), HOUR)],
      ['no time', () => here.set(tenant, 'key', 1, 0)],
      ['endless time', () => here.increment(tenant, 'key', 1, Number.POSITIVE_INFINITY)],
      ['half a step', () => here.increment(tenant, 'key', 0.5, HOUR)],
      ['not a number', () => here.increment(tenant, 'key', Number.NaN, HOUR)],
    ])('refuses %s', async (_, call) => {
      await expect(call()).rejects.toMatchObject({ code: 'invalid_input' })
    })
  })
}

function circle(): unknown {
  const value: { self?: unknown } = {}
  value.self = value
  return value
}
