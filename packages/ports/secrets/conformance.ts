import { randomBytes, randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Secrets } from './port.ts'

/** What every secrets driver promises. Each `open` stands for another process on the same backend. */
export function secretsConformance(driver: string, open: () => Promise<Secrets>): void {
  describe(`secrets: ${driver}`, () => {
    const tenant = `t-${randomBytes(6).toString('hex')}`
    const neighbour = `${tenant}-2`
    let here: Secrets
    let there: Secrets
    beforeAll(async () => {
      here = await open()
      there = await open()
    })
    afterAll(() => Promise.all([here.close(), there.close()]))

    test('any text comes back as it was, in every process', async () => {
      const name = randomUUID()
      const text = fc.string({ minLength: 1, unit: 'binary' })
      await fc.assert(
        fc.asyncProperty(text, async (value) => {
          await here.write(tenant, name, value)
          expect(await there.read(tenant, name)).toBe(value)
        }),
        { numRuns: 40 },
      )
    })

    test('a value of many lines, and a large one, come back whole', async () => {
      const key = `-----BEGIN PRIVATE KEY-----\r\n${'MIIE\n'.repeat(400)}-----END PRIVATE KEY-----\n`
      // The largest there may be, and the longest in JSON.
      const large = '\u0001'.repeat(1024 * 1024)
      await here.write(tenant, 'tls/key', key)
      await here.write(tenant, 'large', large)
      expect(await there.read(tenant, 'tls/key')).toBe(key)
      expect((await there.read(tenant, 'large')) === large).toBe(true)
    })

    test('each write is a new version, and earlier ones stay readable', async () => {
      const name = randomUUID()
      expect(await here.write(tenant, name, 'first')).toEqual({ version: 1 })
      expect(await there.write(tenant, name, 'second')).toEqual({ version: 2 })
      expect(await here.read(tenant, name)).toBe('second')
      expect(await here.read(tenant, name, 1)).toBe('first')
      expect(await here.read(tenant, name, 2)).toBe('second')
      expect(await here.read(tenant, name, 3)).toBeUndefined()
    })

    test('the first of many versions stays readable', async () => {
      const name = randomUUID()
      for (let version = 1; version <= 30; version++) await here.write(tenant, name, `value ${version}`)
      for (const version of [1, 15, 30]) expect(await there.read(tenant, name, version)).toBe(`value ${version}`)
    })

    test('writes at once get a version each, and each version keeps its value', async () => {
      const name = randomUUID()
      const written = await Promise.all(
        Array.from({ length: 8 }, async (_, index) => ({
          index,
          ...(await (index % 2 ? here : there).write(tenant, name, `value ${index}`)),
        })),
      )
      expect(written.map(({ version }) => version).sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
      for (const { index, version } of written) expect(await here.read(tenant, name, version)).toBe(`value ${index}`)
    })

    test('what was never written, or was deleted, is undefined in every version', async () => {
      const name = randomUUID()
      expect(await here.read(tenant, name)).toBeUndefined()
      await here.write(tenant, name, 'first')
      await here.write(tenant, name, 'second')
      await there.delete(tenant, name)
      await there.delete(tenant, name)
      expect(await here.read(tenant, name)).toBeUndefined()
      expect(await here.read(tenant, name, 1)).toBeUndefined()
      expect((await here.list(tenant)).map((secret) => secret.name)).not.toContain(name)
      expect(await here.write(tenant, name, 'anew')).toEqual({ version: 1 })
      expect(await there.read(tenant, name)).toBe('anew')
    })

    test('a tenant never reads, lists or deletes the secrets of another', async () => {
      const name = randomUUID()
      await here.write(tenant, name, 'ours')
      expect(await here.read(neighbour, name)).toBeUndefined()
      expect(await here.read(neighbour, name, 1)).toBeUndefined()
      expect(await here.list(neighbour)).toEqual([])
      await here.delete(neighbour, name)
      expect(await here.read(tenant, name)).toBe('ours')
      expect(await here.write(neighbour, name, 'theirs')).toEqual({ version: 1 })
      expect(await here.read(tenant, name)).toBe('ours')
      await here.delete(neighbour, name)
    })

    test('the list has names in order, newest versions and times, and no values', async () => {
      const folder = randomUUID()
      const began = Date.now()
      await here.write(tenant, `${folder}/b`, 'value-b')
      await here.write(tenant, `${folder}/a`, 'value-a1')
      await here.write(tenant, `${folder}/a`, 'value-a2')
      await here.write(tenant, `${folder}/c/d`, 'value-d')
      const list = await there.list(tenant, `${folder}/`)
      expect(list.map(({ name, version }) => ({ name, version }))).toEqual([
        { name: `${folder}/a`, version: 2 },
        { name: `${folder}/b`, version: 1 },
        { name: `${folder}/c/d`, version: 1 },
      ])
      for (const { updatedAt } of list) {
        expect(new Date(updatedAt).toISOString()).toBe(updatedAt)
        expect(Math.abs(Date.parse(updatedAt) - began)).toBeLessThan(60_000)
      }
      expect(JSON.stringify(list)).not.toContain('value-')
      expect((await there.list(tenant)).map((secret) => secret.name)).toEqual(expect.arrayContaining(list.map((secret) => secret.name)))
    })

    test('a prefix means just its characters', async () => {
      const folder = randomUUID()
      for (const name of ['a%b', 'a_b', 'axb', 'a*b', 'A%b', 'ü']) await here.write(tenant, `${folder}${name}`, 'value')
      const found = async (prefix: string) => (await here.list(tenant, `${folder}${prefix}`)).map(({ name }) => name.slice(folder.length))
      expect(await found('a%')).toEqual(['a%b'])
      expect(await found('a_')).toEqual(['a_b'])
      expect(await found('a*')).toEqual(['a*b'])
      expect(await found('ü')).toEqual(['ü'])
      expect(await found('nothing')).toEqual([])
    })

    test('one name is not another, however alike', async () => {
      const name = `${randomUUID()}/ü:*?[a]%#é `
      const names = [name, name.trim(), name.toUpperCase(), name.normalize('NFD'), `${name}/../x`]
      for (const each of names) await here.write(tenant, each, `value of ${each}`)
      for (const each of names) expect(await there.read(tenant, each)).toBe(`value of ${each}`)
    })

    test('rotating the keys changes no value and no version, also while secrets are read and written', async () => {
      const name = randomUUID()
      const values = Array.from({ length: 5 }, (_, index) => `value ${index}`)
      for (const value of values) await here.write(tenant, name, value)
      const before = await here.list(tenant)
      const [{ rotated }, , reads, added] = await Promise.all([
        here.rotateKeys(),
        there.rotateKeys(),
        Promise.all(values.map((_, index) => there.read(tenant, name, index + 1))),
        there.write(neighbour, name, 'written meanwhile'),
      ])
      expect(Number.isInteger(rotated) && rotated >= 0).toBe(true)
      expect(reads).toEqual(values)
      expect(await here.list(tenant)).toEqual(before)
      expect(await Promise.all(values.map((_, index) => here.read(tenant, name, index + 1)))).toEqual(values)
      expect(await here.read(neighbour, name, added.version)).toBe('written meanwhile')
    })

    const value = 'correct horse battery staple'
    test.each([
      ['no name', () => here.write(tenant, '', value)],
      ['a NUL in the name', () => here.write(tenant, 'a\0', value)],
      ['an endless name', () => here.write(tenant, 'x'.repeat(100_000), value)],
      ['no tenant', () => here.write('', 'name', value)],
      ['what is no tenant', () => here.write("acme' or true", 'name', value)],
      ['an empty value', () => here.write(tenant, 'name', '')],
      ['half a character', () => here.write(tenant, 'name', `${value}\ud800`)],
      ['a value that is too large', () => here.write(tenant, 'name', value.repeat(100_000))],
      ['version 0', () => here.read(tenant, 'name', 0)],
      ['half a version', () => here.read(tenant, 'name', 1.5)],
      ['a prefix with a NUL', () => here.list(tenant, '\0')],
    ])('refuses %s, and the value is not in the error', async (_, call) => {
      const error = await call().then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({ code: 'invalid_input' })
      const { message, stack, details, cause } = error as Error & { details: unknown }
      expect(JSON.stringify([message, stack, details, String(cause)])).not.toContain('horse')
    })
  })
}
