import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Analytics } from './port.ts'

/** What every analytics driver promises. All tables are in a database of the run's own, so that a server that is kept will do. */
export function analyticsConformance(driver: string, open: () => Promise<Analytics>): void {
  describe(`analytics: ${driver}`, () => {
    const database = `promises_${randomBytes(6).toString('hex')}`
    const table = `${database}.samples`
    let analytics: Analytics
    beforeAll(async () => {
      analytics = await open()
      await analytics.command(`create database ${database}`)
    })
    afterAll(async () => {
      await analytics.command(`drop database ${database}`)
      await analytics.close()
    })
    beforeEach(async () => {
      await analytics.command(`create or replace table ${table} (
        id UInt32, name String, at DateTime64(3), big UInt64, small Nullable(Int32), share Float64,
        tags Array(String), labels Map(String, String), done Bool, day Date
      ) engine = MergeTree order by id`)
    })
    const count = async () => (await analytics.query<{ rows: number }>(`select toUInt32(count()) as rows from ${table}`))[0]?.rows

    test('the version is the one of ClickHouse', async () => {
      expect(await analytics.version()).toMatch(/^\d+\.\d+\.\d+/)
    })

    test('a row comes back as it went in', async () => {
      const row = {
        id: 7,
        name: 'it\'s\n"quoted" \\ ü 東京 🦊; drop',
        share: 0.1,
        tags: ["a'b", ''],
        labels: { 'k"': "v'" },
        done: true,
        day: '2026-02-28',
      }
      await analytics.insert(table, [{ ...row, at: new Date('2026-01-31T23:59:59.123Z'), big: 18446744073709551615n, small: null }])
      expect(await analytics.query(`select * from ${table}`)).toEqual([
        { ...row, at: '2026-01-31 23:59:59.123', big: '18446744073709551615', small: null },
      ])
    })

    test('what a row leaves out has its default', async () => {
      await analytics.insert(table, [{ id: 1 }])
      expect(await analytics.query(`select name, big, small, tags, done from ${table}`)).toEqual([
        { name: '', big: '0', small: null, tags: [], done: false },
      ])
    })

    test('integers of 64 bits and more come out as text with every digit, smaller ones as numbers', async () => {
      const [row] = await analytics.query(
        'select toInt64(-9223372036854775808) as least, count() as rows, toInt128(1) as wide, toUInt32(4294967295) as number',
      )
      expect(row).toEqual({ least: '-9223372036854775808', rows: '1', wide: '1', number: 4294967295 })
    })

    test('each kind of parameter arrives as it is', async () => {
      const [row] = await analytics.query(
        `select {text:String} as text, {big:UInt64} as big, {nothing:Nullable(String)} as nothing, {list:Array(String)} as list,
           {map:Map(String, Int32)} as map, {truth:Bool} as truth, {share:Float64} as share, {at:DateTime64(3)} as at,
           toUnixTimestamp64Milli({at:DateTime64(3)}) as milliseconds`,
        {
          text: '\\N',
          big: 18446744073709551615n,
          nothing: null,
          list: ["a'", 'b\\'],
          map: { one: 1 },
          truth: true,
          share: 0.5,
          at: new Date(1_700_000_000_007),
        },
      )
      expect(row).toEqual({
        text: '\\N',
        big: '18446744073709551615',
        nothing: null,
        list: ["a'", 'b\\'],
        map: { one: 1 },
        truth: true,
        share: 0.5,
        at: '2023-11-14 22:13:20.007',
        milliseconds: '1700000000007',
      })
    })

    test('whatever text a parameter or a row holds, it stays text', async () => {
      const text = fc.oneof(
        fc.string({ unit: 'grapheme', maxLength: 30 }),
        fc.constantFrom("'", "\\'", '\\', '\t\n\r\b\0', `'); drop table ${table}; --`, '{text:String}', '/* */', "'' or 1=1", 'null', ''),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 5 }), async (texts) => {
          await analytics.command(`truncate table ${table}`)
          await analytics.insert(
            table,
            texts.map((name, id) => ({ id, name })),
          )
          expect(await analytics.query(`select name from ${table} order by id`)).toEqual(texts.map((name) => ({ name })))
          const found = await analytics.query<{ id: number }>(`select id from ${table} where name = {name:String} order by id`, {
            name: texts[0],
          })
          expect(found.map((row) => row.id)).toEqual(texts.flatMap((name, id) => (name === texts[0] ? [id] : [])))
        }),
        { numRuns: 25 },
      )
    })

    test('a statement of a tenant sees its own rows and no others, also when it forgets its tenant', async () => {
      const owned = `owned_${database}`
      await analytics.command(`create table ${owned} (tenant String, id UInt32) engine = ReplacingMergeTree order by (tenant, id)`)
      await analytics.insert(owned, [
        { tenant: 'acme', id: 1 },
        { tenant: 'globex', id: 1 },
        { tenant: 'globex', id: 2 },
      ])
      const seenBy = (tenant: string, sql: string) => analytics.queryWithin<object>({ tenant, table: owned }, sql, { owned })
      for (const forgetful of [
        `select tenant from ${owned}`,
        'select tenant from {owned:Identifier} final',
        `select tenant from (select * from ${owned} final) where id < 10 order by id`,
        `with all as (select * from {owned:Identifier}) select one.tenant as tenant from all as one join ${owned} as other on one.id = other.id`,
        `select tenant from ${owned} where id in (select id from {owned:Identifier} where tenant = 'globex' or true) or 1 = 1`,
      ]) {
        expect(await seenBy('acme', forgetful)).toEqual([{ tenant: 'acme' }])
        expect(await seenBy('globex', forgetful)).toEqual([{ tenant: 'globex' }, { tenant: 'globex' }])
        expect(await seenBy('nobody', forgetful)).toEqual([])
      }
      expect(await seenBy('acme', `select tenant from ${owned} where tenant = 'globex'`)).toEqual([])
      const both = await Promise.all(
        Array.from({ length: 20 }, (_, turn) => seenBy(turn % 2 ? 'acme' : 'globex', `select toUInt32(count()) as rows from ${owned}`)),
      )
      expect(both).toEqual(both.map((_, turn) => [{ rows: turn % 2 ? 1 : 2 }]))
      expect(await analytics.query(`select toUInt32(count()) as rows from ${owned}`)).toEqual([{ rows: 3 }])
      await analytics.command(`drop table ${owned}`)
    })

    test.each(["acme' or 1 = 1", 'acme\\', '', 'Acme'])('%j is refused as a tenant', async (tenant) => {
      await expect(analytics.queryWithin({ tenant, table }, `select * from ${table}`)).rejects.toMatchObject({ code: 'invalid_input' })
    })

    test('many questions at once each get their own answer', async () => {
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, number) => analytics.query<{ number: number }>('select {number:UInt32} as number', { number })),
      )
      expect(answers.map((rows) => rows[0]?.number)).toEqual(Array.from({ length: 40 }, (_, number) => number))
    })

    test('a batch with one bad row is kept out whole, however large', async () => {
      const rows: Record<string, unknown>[] = Array.from({ length: 60_000 }, (_, id) => ({ id, name: 'x'.repeat(200) }))
      await expect(analytics.insert(table, [...rows, { id: 'no number' }])).rejects.toMatchObject({ code: 'invalid_input' })
      expect(await count()).toBe(0)
      await analytics.insert(table, rows)
      expect(await count()).toBe(60_000)
    })

    test('a row with a column that the table lacks is refused', async () => {
      await expect(analytics.insert(table, [{ id: 1 }, { id: 2, unknown: 1 }])).rejects.toMatchObject({
        code: 'invalid_input',
        message: expect.stringContaining('unknown'),
      })
      expect(await count()).toBe(0)
    })

    test('an empty batch is no error', async () => {
      await analytics.insert(table, [])
      expect(await count()).toBe(0)
    })

    test('a batch that is too large is refused', async () => {
      await expect(analytics.insert(table, Array(100_001).fill({ id: 1 }))).rejects.toMatchObject({ code: 'invalid_input' })
    })

    test.each(['', 'a b', 'a.b.c', "a'b", 'a;drop table b', '`a`', 'a-b', 'a\n'])('%j is refused as a table', async (name) => {
      await expect(analytics.insert(name, [{ id: 1 }])).rejects.toMatchObject({ code: 'invalid_input' })
    })

    test.each([
      ['does not parse', 'selec 1', 'SYNTAX_ERROR'],
      ['asks an unknown table', `select * from ${database}.absent`, 'UNKNOWN_TABLE'],
      ['lacks a parameter', 'select {missing:String}', 'missing'],
      ['fails on its way', "select throwIf(number = 5, 'five') from numbers(10)", 'five'],
    ])('a statement that %s is refused with the words of ClickHouse', async (_, sql, words) => {
      const refusal = { code: 'invalid_input', message: expect.stringContaining(words) }
      await expect(analytics.query(sql)).rejects.toMatchObject(refusal)
      await expect(analytics.command(sql)).rejects.toMatchObject(refusal)
    })

    test('a statement may not run on forever', async () => {
      const [row] = await analytics.query("select toUInt32(getSetting('max_execution_time')) as seconds")
      expect(row).toEqual({ seconds: 30 })
    })

    test('a parameter that is not of its type is refused', async () => {
      const refused = { code: 'invalid_input' }
      await expect(analytics.query('select {number:UInt8} as number', { number: 'many' })).rejects.toMatchObject(refused)
      await expect(analytics.query('select {at:DateTime64(3)} as at', { at: new Date(Number.NaN) })).rejects.toMatchObject(refused)
    })
  })
}
