import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Objects } from './port.ts'

const EMPTY = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const ABC = 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
const bytes = (text: string) => new TextEncoder().encode(text)

/**
 * What every objects driver promises. `corrupt` changes a stored object behind the driver's back.
 * Each test has a tenant of its own, so that a store that is kept between runs will do.
 */
export function objectsConformance(
  driver: string,
  open: () => Promise<Objects & { corrupt(tenant: string, digest: string): Promise<void> }>,
): void {
  describe(`objects: ${driver}`, () => {
    let objects: Awaited<ReturnType<typeof open>>
    let tenant: string
    beforeAll(async () => {
      objects = await open()
    })
    afterAll(() => objects.close())
    beforeEach(() => {
      tenant = `t${randomBytes(8).toString('hex')}`
    })

    const textOf = async (digest: string) => new TextDecoder().decode(await objects.get(tenant, digest))

    test('whatever bytes are put come back the same', async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), async (content) => {
          const { digest, size } = await objects.put(tenant, content, 'application/octet-stream')
          expect(size).toBe(content.byteLength)
          expect(Buffer.compare(await objects.get(tenant, digest), content)).toBe(0)
        }),
        { numRuns: 60 },
      )
    })

    test('a part of a larger buffer is stored as that part alone', async () => {
      const { digest } = await objects.put(tenant, bytes('xxabcxx').subarray(2, 5), 'text/plain')
      expect(digest).toBe(ABC)
    })

    test('some megabytes come back the same', async () => {
      const content = randomBytes(8 * 1024 * 1024)
      const { digest } = await objects.put(tenant, content, 'application/octet-stream')
      expect(Buffer.compare(await objects.get(tenant, digest), content)).toBe(0)
    })

    test('the digest is the SHA-256 of the content, also of none', async () => {
      expect(await objects.put(tenant, bytes('abc'), 'text/plain')).toEqual({ digest: ABC, size: 3, mediaType: 'text/plain' })
      expect(await objects.put(tenant, bytes(''), 'text/plain')).toEqual({ digest: EMPTY, size: 0, mediaType: 'text/plain' })
      expect(await objects.get(tenant, EMPTY)).toHaveLength(0)
    })

    test('the same content put many times at once is one object', async () => {
      await Promise.all(Array.from({ length: 20 }, () => objects.put(tenant, bytes('abc'), 'text/plain')))
      expect(await objects.list(tenant)).toEqual([{ digest: ABC, size: 3, mediaType: 'text/plain' }])
    })

    test('the media type is the one given last', async () => {
      await objects.put(tenant, bytes('abc'), 'text/plain')
      await objects.put(tenant, bytes('abc'), 'text/markdown; charset=utf-8')
      expect(await objects.stat(tenant, ABC)).toEqual({ digest: ABC, size: 3, mediaType: 'text/markdown; charset=utf-8' })
    })

    test('a tenant sees its own objects and no others', async () => {
      const other = `${tenant}-other`
      await objects.put(tenant, bytes('abc'), 'text/plain')
      await expect(objects.get(other, ABC)).rejects.toMatchObject({ code: 'not_found' })
      expect(await objects.stat(other, ABC)).toBeUndefined()
      expect(await objects.list(other)).toEqual([])
      await objects.delete(other, ABC)
      expect(await textOf(ABC)).toBe('abc')
    })

    test('what was deleted is gone, and deleting it again is no error', async () => {
      await objects.put(tenant, bytes('abc'), 'text/plain')
      await objects.delete(tenant, ABC)
      await objects.delete(tenant, ABC)
      await expect(objects.get(tenant, ABC)).rejects.toMatchObject({ code: 'not_found' })
      expect(await objects.stat(tenant, ABC)).toBeUndefined()
      expect(await objects.list(tenant)).toEqual([])
    })

    test('content that was changed where it is stored is refused, and putting it again repairs it', async () => {
      await objects.put(tenant, bytes('abc'), 'text/plain')
      await objects.corrupt(tenant, ABC)
      await expect(objects.get(tenant, ABC)).rejects.toMatchObject({ code: 'digest_mismatch' })
      await objects.put(tenant, bytes('abc'), 'text/plain')
      expect(await textOf(ABC)).toBe('abc')
    })

    test('pages follow the order of digests and hold every object once', async () => {
      const put = await Promise.all(Array.from({ length: 25 }, (_, number) => objects.put(tenant, bytes(`${number}`), 'text/plain')))
      const seen: string[] = []
      for (;;) {
        const page = await objects.list(tenant, { after: seen.at(-1), limit: 7 })
        if (page.length === 0) break
        expect(page.length).toBeLessThanOrEqual(7)
        seen.push(...page.map((reference) => reference.digest))
      }
      expect(seen).toEqual(put.map((reference) => reference.digest).sort())
    })

    test.each(['', '..', '../other', 'a/b', 'A', '.incoming', 'tenant\0', 'x'.repeat(41)])('%j is refused as a tenant', async (name) => {
      await expect(objects.put(name, bytes('abc'), 'text/plain')).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(objects.get(name, ABC)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(objects.list(name)).rejects.toMatchObject({ code: 'invalid_input' })
    })

    test.each([
      '',
      ABC.slice(7),
      ABC.toUpperCase(),
      `${ABC}\n`,
      `sha256:${'../'.repeat(21)}a`,
      `sha256:${'0'.repeat(63)}`,
      `sha512:${'0'.repeat(64)}`,
    ])('%j is refused as a digest', async (digest) => {
      await expect(objects.get(tenant, digest)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(objects.stat(tenant, digest)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(objects.delete(tenant, digest)).rejects.toMatchObject({ code: 'invalid_input' })
      await expect(objects.list(tenant, { after: digest })).rejects.toMatchObject({ code: 'invalid_input' })
    })

    test.each(['', 'text', 'text/', '/plain', 'text/plain\r\nx-evil: 1', 'text/plain; a="ü"', `text/${'x'.repeat(255)}`])(
      '%j is refused as a media type',
      async (mediaType) => {
        await expect(objects.put(tenant, bytes('abc'), mediaType)).rejects.toMatchObject({ code: 'invalid_input' })
      },
    )

    test.each([0, -1, 1.5, Number.NaN, 1001])('a page of %d is refused', async (limit) => {
      await expect(objects.list(tenant, { limit })).rejects.toMatchObject({ code: 'invalid_input' })
    })
  })
}
