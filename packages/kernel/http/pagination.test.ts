import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { decodeCursor, encodeCursor, PageQuery, pageOf } from './pagination.ts'

const shape = { item: (row: number) => ({ row }), position: (row: number) => row }

test('going from page to page shows every row once, in order, and then ends', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 20 }), (count, limit) => {
      const rows = Array.from({ length: count }, (_, index) => index)
      const seen: number[] = []
      let after = -1
      for (;;) {
        const found = rows.filter((row) => row > after).slice(0, limit + 1)
        const { items, nextCursor } = pageOf(found, limit, shape)
        seen.push(...items.map((item) => item.row))
        if (nextCursor === null) break
        expect(items).toHaveLength(limit)
        after = decodeCursor(nextCursor, z.number())
      }
      expect(seen).toEqual(rows)
    }),
  )
})

test('a cursor carries any position there and back', () => {
  fc.assert(
    fc.property(fc.string(), fc.integer(), (name, at) => {
      expect(decodeCursor(encodeCursor({ name, at }), z.object({ name: z.string(), at: z.number() }))).toEqual({ name, at })
    }),
  )
})

test.each(['', 'rubbish', encodeCursor({ other: 1 }), '%00', 'e30='])('the cursor %j of something else is bad input', (cursor) => {
  expect(() => decodeCursor(cursor, z.object({ id: z.string() }))).toThrow(expect.objectContaining({ code: 'invalid_input' }))
})

test('a limit is 1 to 200, 50 when not given', () => {
  expect(PageQuery.parse({}).limit).toBe(50)
  expect(PageQuery.parse({ limit: '200' }).limit).toBe(200)
  for (const limit of ['0', '201', '1.5', 'x', '']) expect(PageQuery.safeParse({ limit }).success).toBe(false)
})
