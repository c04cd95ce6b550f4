import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import { invalidInput } from './problem.ts'

export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50).describe('Items at the most'),
  cursor: z.string().max(2048).optional().describe('nextCursor of the page before'),
})
export type PageQuery = z.output<typeof PageQuery>

/** The answer of every list. */
export function page<Item extends z.ZodType>(item: Item) {
  return z.object({
    items: z.array(item),
    nextCursor: z.string().nullable().describe('Leads to the next page; null on the last'),
  })
}

/** Where a page ends, as text that clients carry but do not read. */
export function encodeCursor(position: unknown): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

/** @throws `invalid_input` when the text was not made by `encodeCursor` for this kind of list */
export function decodeCursor<Position>(cursor: string, schema: z.ZodType<Position>): Position {
  const parsed = schema.safeParse(parseCursor(cursor))
  if (parsed.success) return parsed.data
  throw invalidInput([{ path: ['cursor'], message: 'is not the nextCursor of a page of this list; begin again without it' }], 'querystring')
}

function parseCursor(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'))
  } catch {
    return undefined
  }
}

/**
 * Cuts a page from rows that were read one further than the limit: the extra row tells that there is more.
 * @param rows in order, at the most `limit + 1`
 */
export function pageOf<Row, Item>(
  rows: readonly Row[],
  limit: number,
  shape: { item: (row: Row) => Item; position: (row: Row) => unknown },
): { items: Item[]; nextCursor: string | null } {
  if (rows.length > limit + 1) throw new SomaError('internal', `A page of ${limit} was cut from ${rows.length} rows.`)
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const hasMore = rows.length > limit && last !== undefined
  return { items: shown.map(shape.item), nextCursor: hasMore ? encodeCursor(shape.position(last)) : null }
}
