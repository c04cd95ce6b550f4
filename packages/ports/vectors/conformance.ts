import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_DIMENSIONS, type Metadata, type VectorRecord, type Vectors } from './port.ts'

const record = (id: string, vector: number[], text = '', metadata: Metadata = {}): VectorRecord => ({ id, vector, text, metadata })
const ids = (found: readonly { id: string }[]) => found.map((hit) => hit.id)

/** Text that breaks out of literals, patterns and encodings when somebody forgets to think of it. */
const awkward = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.constantFrom(
    "'",
    "''",
    '"',
    '\\',
    "\\'",
    '%',
    '_',
    "' or '1'='1",
    "'); drop table notes; --",
    '`',
    '$1',
    '{a:b}',
    'ü',
    '東京',
    '🦊',
    'null',
    '',
  ),
)
const value = fc.oneof(awkward, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer(), fc.boolean())

/** What every vectors driver promises. Each test has a tenant of its own, so that a store that is kept between runs will do. */
export function vectorsConformance(driver: string, open: () => Promise<Vectors>): void {
  describe(`vectors: ${driver}`, () => {
    let vectors: Vectors
    let tenant: string
    beforeAll(async () => {
      vectors = await open()
    })
    afterAll(() => vectors.close())
    beforeEach(() => {
      tenant = `t${randomBytes(8).toString('hex')}`
    })

    describe('collections', () => {
      test('a collection is made once, also when it is asked for many times at once', async () => {
        await Promise.all(Array.from({ length: 5 }, () => vectors.ensureCollection(tenant, 'notes', { dimensions: 3 })))
        await vectors.upsert(tenant, 'notes', [record('a', [1, 0, 0])])
        await vectors.ensureCollection(tenant, 'notes', { dimensions: 3 })
        expect(await vectors.count(tenant, 'notes')).toBe(1)
      })

      test('a collection has the default size unless another is given, and all are listed in order', async () => {
        await vectors.ensureCollection(tenant, 'small', { dimensions: 3 })
        await vectors.ensureCollection(tenant, 'default')
        expect(await vectors.listCollections(tenant)).toEqual([
          { name: 'default', dimensions: DEFAULT_DIMENSIONS },
          { name: 'small', dimensions: 3 },
        ])
        expect(await vectors.listCollections(`${tenant}-other`)).toEqual([])
      })

      test('asking for another size than the collection has is a conflict', async () => {
        await vectors.ensureCollection(tenant, 'notes', { dimensions: 3 })
        await expect(vectors.ensureCollection(tenant, 'notes', { dimensions: 4 })).rejects.toMatchObject({ code: 'conflict' })
      })

      test('a dropped collection is gone, can be made anew with another size, and dropping it again is no error', async () => {
        await vectors.ensureCollection(tenant, 'notes', { dimensions: 3 })
        await vectors.upsert(tenant, 'notes', [record('a', [1, 0, 0])])
        await vectors.dropCollection(tenant, 'notes')
        await vectors.dropCollection(tenant, 'notes')
        expect(await vectors.listCollections(tenant)).toEqual([])
        await expect(vectors.count(tenant, 'notes')).rejects.toMatchObject({ code: 'not_found' })
        await vectors.ensureCollection(tenant, 'notes', { dimensions: 2 })
        expect(await vectors.count(tenant, 'notes')).toBe(0)
      })

      test('a collection that was not made is not found', async () => {
        const absent = { code: 'not_found' }
        await expect(vectors.upsert(tenant, 'absent', [record('a', [1])])).rejects.toMatchObject(absent)
        await expect(vectors.search(tenant, 'absent', { vector: [1] })).rejects.toMatchObject(absent)
        await expect(vectors.get(tenant, 'absent', ['a'])).rejects.toMatchObject(absent)
        await expect(vectors.delete(tenant, 'absent', ['a'])).rejects.toMatchObject(absent)
      })

      test('a tenant finds its own records and no others', async () => {
        const other = `${tenant}-other`
        for (const [owner, text] of [
          [tenant, 'ours'],
          [other, 'theirs'],
        ] as const) {
          await vectors.ensureCollection(owner, 'notes', { dimensions: 2 })
          await vectors.upsert(owner, 'notes', [record('same', [1, 1], text)])
        }
        expect((await vectors.search(tenant, 'notes', { vector: [1, 1] })).map((hit) => hit.text)).toEqual(['ours'])
        expect(await vectors.search(tenant, 'notes', { text: 'theirs' })).toEqual([])
        await vectors.dropCollection(other, 'notes')
        expect(await vectors.count(tenant, 'notes')).toBe(1)
      })
    })

    describe('records', () => {
      beforeEach(() => vectors.ensureCollection(tenant, 'notes', { dimensions: 3 }))

      test('a record comes back with its text, metadata and direction, in the order asked for', async () => {
        const first = record('first', [3, 0, 4], 'first text', { topic: 'a', rank: 1.5, done: true })
        await vectors.upsert(tenant, 'notes', [first, record('second', [0, 1, 0])])
        const got = await vectors.get(tenant, 'notes', ['second', 'absent', 'first'])
        expect(ids(got)).toEqual(['second', 'first'])
        expect(got[1]).toMatchObject({ text: first.text, metadata: first.metadata })
        const [x = 0, y = 0, z = 0] = got[1]?.vector ?? []
        expect([x / Math.hypot(x, y, z), z / Math.hypot(x, y, z)]).toEqual([expect.closeTo(0.6, 5), expect.closeTo(0.8, 5)])
      })

      test('a record with a known id replaces the old one, and the last of a batch counts', async () => {
        await vectors.upsert(tenant, 'notes', [record('a', [1, 0, 0], 'old', { version: 1 })])
        await vectors.upsert(tenant, 'notes', [record('a', [0, 1, 0], 'newer'), record('a', [0, 0, 1], 'newest', { version: 3 })])
        expect(await vectors.count(tenant, 'notes')).toBe(1)
        expect(await vectors.get(tenant, 'notes', ['a'])).toMatchObject([{ text: 'newest', metadata: { version: 3 } }])
        expect(await vectors.search(tenant, 'notes', { text: 'old' })).toEqual([])
        expect(await vectors.search(tenant, 'notes', { vector: [1, 1, 1], filter: { version: 1 } })).toEqual([])
      })

      test('one id written many times at once is one record', async () => {
        await Promise.all(Array.from({ length: 10 }, (_, number) => vectors.upsert(tenant, 'notes', [record('a', [number + 1, 1, 1])])))
        expect(await vectors.count(tenant, 'notes')).toBe(1)
      })

      test('what was deleted is gone, and deleting it again is no error', async () => {
        await vectors.upsert(tenant, 'notes', [record('a', [1, 0, 0], 'word'), record('b', [0, 1, 0], 'word')])
        await vectors.delete(tenant, 'notes', ['a', 'absent'])
        await vectors.delete(tenant, 'notes', ['a'])
        expect(ids(await vectors.search(tenant, 'notes', { vector: [1, 0, 0] }))).toEqual(['b'])
        expect(ids(await vectors.search(tenant, 'notes', { text: 'word' }))).toEqual(['b'])
      })

      test('nothing to write, read or delete is no error', async () => {
        await vectors.upsert(tenant, 'notes', [])
        await vectors.delete(tenant, 'notes', [])
        expect(await vectors.get(tenant, 'notes', [])).toEqual([])
        expect(await vectors.search(tenant, 'notes', { vector: [1, 0, 0], text: 'word' })).toEqual([])
        expect(await vectors.search(tenant, 'notes', { text: 'word' })).toEqual([])
      })

      test('after any sequence of writes and deletes, exactly the last state is there', async () => {
        const id = fc.constantFrom('a', 'b', 'c', 'd', "e'", 'f\\')
        const step = fc.oneof(
          fc.record({ upsert: fc.array(fc.tuple(id, fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 4 }) }),
          fc.record({ delete: fc.array(id, { minLength: 1, maxLength: 3 }) }),
        )
        let round = 0
        await fc.assert(
          fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
            const name = `round-${round++}`
            await vectors.ensureCollection(tenant, name, { dimensions: 2 })
            const expected = new Map<string, number>()
            for (const change of steps) {
              if ('upsert' in change) {
                const records = change.upsert.map(([key, version]) => record(key, [version, 1], `word ${version}`, { version }))
                await vectors.upsert(tenant, name, records)
                for (const [key, version] of change.upsert) expected.set(key, version)
              } else {
                await vectors.delete(tenant, name, change.delete)
                for (const key of change.delete) expected.delete(key)
              }
            }
            const stored = await vectors.search(tenant, name, { text: 'word', limit: 100 })
            expect(new Map(stored.map((hit) => [hit.id, hit.metadata.version]))).toEqual(expected)
            expect(stored).toHaveLength(expected.size)
            await vectors.dropCollection(tenant, name)
          }),
          { numRuns: 12 },
        )
      })

      test('whatever an id is, it names one record', async () => {
        const id = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).filter((text) => !text.includes('\0'))
        await fc.assert(
          fc.asyncProperty(
            fc.uniqueArray(
              fc.oneof(
                id,
                awkward.filter((text) => text !== '' && !text.includes('\0')),
              ),
              { minLength: 1, maxLength: 8 },
            ),
            async (names) => {
              await vectors.upsert(
                tenant,
                'notes',
                names.map((name) => record(name, [1, 2, 3], name)),
              )
              expect(await vectors.count(tenant, 'notes')).toBe(names.length)
              expect((await vectors.get(tenant, 'notes', names)).map((got) => [got.id, got.text])).toEqual(
                names.map((name) => [name, name]),
              )
              await vectors.delete(tenant, 'notes', names)
              expect(await vectors.count(tenant, 'notes')).toBe(0)
            },
          ),
          { numRuns: 15 },
        )
      })
    })

    describe('search', () => {
      beforeEach(() => vectors.ensureCollection(tenant, 'notes', { dimensions: 3 }))

      test('dense search gives the nearest first, with their cosine similarity', async () => {
        await vectors.upsert(tenant, 'notes', [
          record('away', [-2, 0, 0]),
          record('near', [5, 5, 0]),
          record('same', [7, 0, 0]),
          record('square', [0, 0, 3]),
        ])
        const hits = await vectors.search(tenant, 'notes', { vector: [1, 0, 0] })
        expect(ids(hits)).toEqual(['same', 'near', 'square', 'away'])
        expect(hits.map((hit) => hit.score)).toEqual([1, Math.SQRT1_2, 0, -1].map((score) => expect.closeTo(score, 4)))
        expect(ids(await vectors.search(tenant, 'notes', { vector: [1, 0, 0], limit: 2 }))).toEqual(['same', 'near'])
      })

      test('dense search agrees with the definition', async () => {
        const component = fc.integer({ min: -100, max: 100 })
        const vector = fc.tuple(component, component, component).filter((values) => values.some((part) => part !== 0))
        const cosine = (one: number[], other: number[]) =>
          one.reduce((sum, part, at) => sum + part * (other[at] ?? 0), 0) / (Math.hypot(...one) * Math.hypot(...other))
        await fc.assert(
          fc.asyncProperty(fc.array(vector, { minLength: 1, maxLength: 30 }), vector, async (stored, query) => {
            await vectors.delete(
              tenant,
              'notes',
              Array.from({ length: 30 }, (_, at) => `${at}`),
            )
            await vectors.upsert(
              tenant,
              'notes',
              stored.map((values, at) => record(`${at}`, values)),
            )
            const hits = await vectors.search(tenant, 'notes', { vector: query, limit: 5 })
            const expected = stored.map((values) => cosine(values, query)).sort((one, other) => other - one)
            expect(hits.map((hit) => hit.score)).toEqual(expected.slice(0, 5).map((score) => expect.closeTo(score, 4)))
          }),
          { numRuns: 10 },
        )
      })

      test('full-text search finds records with any of the words, more and rarer words first', async () => {
        await vectors.upsert(tenant, 'notes', [
          record('other', [1, 1, 1], 'quarterly figures for the board'),
          record('one', [1, 1, 1], 'the deployment went well'),
          record('both', [1, 1, 1], 'the deployment failed at night'),
          record('again', [1, 1, 1], 'another deployment went well'),
        ])
        const hits = await vectors.search(tenant, 'notes', { text: 'failed deployment' })
        expect(ids(hits)[0]).toBe('both')
        expect(ids(hits).sort()).toEqual(['again', 'both', 'one'])
        expect(ids(await vectors.search(tenant, 'notes', { text: 'failed deployment', limit: 1 }))).toEqual(['both'])
        for (const [at, hit] of hits.entries()) {
          expect(hit.score).toBeGreaterThan(0)
          expect(hit.score).toBeLessThanOrEqual(hits[at - 1]?.score ?? 1)
        }
      })

      test('the best of many is found also at a small limit, whenever it was written', async () => {
        const filler = (from: number) =>
          Array.from({ length: 40 }, (_, at) => record(`${from + at}`, [1, 1, 1], `deployment number ${from + at}`))
        const best = record('best', [1, 1, 1], 'zanzibar deployment')
        for (const order of [[filler(0), [best]], [[best], filler(100)], [[...filler(200), best]]]) {
          for (const batch of order) await vectors.upsert(tenant, 'notes', batch)
          expect(ids(await vectors.search(tenant, 'notes', { text: 'zanzibar deployment', limit: 1 }))).toEqual(['best'])
        }
        await vectors.upsert(tenant, 'notes', [...filler(0), ...filler(100), best, ...filler(200)])
        expect(ids(await vectors.search(tenant, 'notes', { text: 'zanzibar deployment', limit: 1 }))).toEqual(['best'])
      })

      test('words are found whatever their case and script, and parts of identifiers too', async () => {
        await vectors.upsert(tenant, 'notes', [
          record('german', [1, 1, 1], 'Die Straße führt über die Brücke.'),
          record('greek', [1, 1, 1], 'Η πόλη κοιμάται'),
          record('code', [1, 1, 1], 'calls billing.reserve_budget() twice'),
        ])
        expect(ids(await vectors.search(tenant, 'notes', { text: 'BRÜCKE' }))).toEqual(['german'])
        expect(ids(await vectors.search(tenant, 'notes', { text: 'πόλη' }))).toEqual(['greek'])
        expect(ids(await vectors.search(tenant, 'notes', { text: 'budget' }))).toEqual(['code'])
      })

      test('what looks like a query language is searched as plain words', async () => {
        await vectors.upsert(tenant, 'notes', [record('a', [1, 1, 1], 'budget report')])
        for (const text of [
          'budget AND NOT report',
          '"budget',
          'budget)',
          '+budget -report',
          "budget' or 1=1 --",
          'budget*',
          'text:budget ^2 ~',
        ]) {
          expect(ids(await vectors.search(tenant, 'notes', { text }))).toEqual(['a'])
        }
        expect(await vectors.search(tenant, 'notes', { text: '*' })).toEqual([])
      })

      test('hybrid search puts first what both rankings favour, and keeps what only one finds', async () => {
        await vectors.upsert(tenant, 'notes', [
          record('vector only', [1, 0, 0], 'nothing of the kind'),
          record('both', [0.9, 0.1, 0], 'kill switch drill'),
          record('words only', [-1, 0, 0], 'kill switch drill protocol'),
        ])
        const hits = await vectors.search(tenant, 'notes', { vector: [1, 0, 0], text: 'kill switch drill' })
        expect(ids(hits)[0]).toBe('both')
        expect(ids(hits).sort()).toEqual(['both', 'vector only', 'words only'])
        for (const hit of hits) {
          expect(hit.score).toBeGreaterThan(0)
          expect(hit.score).toBeLessThanOrEqual(1)
        }
        expect(await vectors.search(tenant, 'notes', { vector: [1, 0, 0], text: 'kill switch drill', limit: 1 })).toHaveLength(1)
      })

      test('a filter never starves a search: what it keeps is found though better hits are excluded', async () => {
        await vectors.upsert(tenant, 'notes', [
          ...Array.from({ length: 60 }, (_, at) => record(`no-${at}`, [1, 0, 0], 'budget budget budget', { keep: false })),
          ...Array.from({ length: 5 }, (_, at) => record(`yes-${at}`, [0, 1, 0], 'a budget among many other words', { keep: true })),
        ])
        for (const query of [{ vector: [1, 0, 0] }, { text: 'budget' }, { vector: [1, 0, 0], text: 'budget' }]) {
          const hits = await vectors.search(tenant, 'notes', { ...query, filter: { keep: true }, limit: 5 })
          expect(ids(hits).sort()).toEqual(['yes-0', 'yes-1', 'yes-2', 'yes-3', 'yes-4'])
        }
      })

      test('every field of a filter must be equal, and types are told apart', async () => {
        await vectors.upsert(tenant, 'notes', [
          record('number', [1, 1, 1], '', { size: 1, kind: 'x' }),
          record('text', [1, 1, 1], '', { size: '1', kind: 'x' }),
          record('truth', [1, 1, 1], '', { size: true }),
          record('none', [1, 1, 1]),
        ])
        const found = async (filter: Metadata) => ids(await vectors.search(tenant, 'notes', { vector: [1, 1, 1], filter })).sort()
        expect(await found({ size: 1 })).toEqual(['number'])
        expect(await found({ size: '1' })).toEqual(['text'])
        expect(await found({ size: true })).toEqual(['truth'])
        expect(await found({ kind: 'x' })).toEqual(['number', 'text'])
        expect(await found({ kind: 'x', size: '1' })).toEqual(['text'])
        expect(await found({ kind: 'y' })).toEqual([])
        expect(await found({ absent: '' })).toEqual([])
        expect(await found({})).toEqual(['none', 'number', 'text', 'truth'])
      })

      test('whatever metadata holds, filtering by it finds exactly the records that hold the same', async () => {
        const metadata = fc.dictionary(
          awkward.filter((field) => field !== '' && field !== '__proto__'),
          value,
          { maxKeys: 3, noNullPrototype: true },
        )
        await fc.assert(
          fc.asyncProperty(fc.array(metadata, { minLength: 1, maxLength: 5 }), async (all) => {
            await vectors.delete(
              tenant,
              'notes',
              Array.from({ length: 5 }, (_, at) => `${at}`),
            )
            await vectors.upsert(
              tenant,
              'notes',
              all.map((fields, at) => record(`${at}`, [1, 1, 1], '', fields)),
            )
            for (const filter of all) {
              const hits = await vectors.search(tenant, 'notes', { vector: [1, 1, 1], filter })
              const expected = all.flatMap((fields, at) =>
                Object.entries(filter).every(([field, part]) => fields[field] === part) ? [`${at}`] : [],
              )
              expect(ids(hits).sort()).toEqual(expected)
              for (const hit of hits) expect(hit.metadata).toEqual(JSON.parse(JSON.stringify(all[Number(hit.id)])))
            }
          }),
          { numRuns: 25 },
        )
      })
    })

    describe('bad input', () => {
      beforeEach(() => vectors.ensureCollection(tenant, 'notes', { dimensions: 3 }))

      test.each([
        ['too short', [1, 2]],
        ['too long', [1, 2, 3, 4]],
        ['empty', []],
        ['all zeros', [0, 0, 0]],
        ['not a number', [1, Number.NaN, 1]],
        ['endless', [1, Number.POSITIVE_INFINITY, 1]],
        ['beyond 32 bits', [1e300, 1, 1]],
      ])('a vector that is %s is refused, and nothing of its batch is stored', async (_, vector) => {
        const refused = { code: 'invalid_input' }
        await expect(vectors.upsert(tenant, 'notes', [record('good', [1, 1, 1]), record('bad', vector)])).rejects.toMatchObject(refused)
        await expect(vectors.search(tenant, 'notes', { vector })).rejects.toMatchObject(refused)
        expect(await vectors.count(tenant, 'notes')).toBe(0)
      })

      test.each(['', '..', '../notes', 'a/b', 'Notes', '1st', 'with space', 'dot.ted', 'x'.repeat(64), "o'clock"])(
        '%j is refused as a collection',
        async (name) => {
          await expect(vectors.ensureCollection(tenant, name, { dimensions: 3 })).rejects.toMatchObject({ code: 'invalid_input' })
          await expect(vectors.count(tenant, name)).rejects.toMatchObject({ code: 'invalid_input' })
          await expect(vectors.dropCollection(tenant, name)).rejects.toMatchObject({ code: 'invalid_input' })
        },
      )

      test.each(['', '..', '../other', 'A'])('%j is refused as a tenant', async (name) => {
        await expect(vectors.ensureCollection(name, 'notes', { dimensions: 3 })).rejects.toMatchObject({ code: 'invalid_input' })
        await expect(vectors.listCollections(name)).rejects.toMatchObject({ code: 'invalid_input' })
      })

      test.each([0, -1, 1.5, Number.NaN, 100_000])('%d dimensions are refused', async (dimensions) => {
        await expect(vectors.ensureCollection(tenant, 'other', { dimensions })).rejects.toMatchObject({ code: 'invalid_input' })
      })

      test.each([0, -1, 1.5, 1001])('a limit of %d is refused', async (limit) => {
        await expect(vectors.search(tenant, 'notes', { vector: [1, 1, 1], limit })).rejects.toMatchObject({ code: 'invalid_input' })
      })

      test('a search for nothing is refused', async () => {
        await expect(vectors.search(tenant, 'notes', {})).rejects.toMatchObject({ code: 'invalid_input' })
        await expect(vectors.search(tenant, 'notes', { text: ' \n' })).rejects.toMatchObject({ code: 'invalid_input' })
      })

      test.each([
        ['empty', ''],
        ['half a character', '\ud800'],
        ['too long', 'x'.repeat(513)],
      ])('an id that is %s is refused', async (_, id) => {
        await expect(vectors.upsert(tenant, 'notes', [record(id, [1, 1, 1])])).rejects.toMatchObject({ code: 'invalid_input' })
      })

      test('metadata that can not be compared is refused', async () => {
        await expect(vectors.upsert(tenant, 'notes', [record('a', [1, 1, 1], '', { size: Number.NaN })])).rejects.toMatchObject({
          code: 'invalid_input',
        })
        const nested = JSON.parse('{"deep":{"er":1},"nothing":null}') as Metadata
        await expect(vectors.search(tenant, 'notes', { vector: [1, 1, 1], filter: nested })).rejects.toMatchObject({
          code: 'invalid_input',
        })
      })
    })
  })
}
