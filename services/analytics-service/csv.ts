import { stringify } from 'csv-stringify/sync'
import { z } from 'zod'

/**
 * Rows as CSV (RFC 4180) with a header, also when there are none. A field within a field is `outer.inner`. Text that a spreadsheet would
 * take for a formula is escaped: names come from people.
 */
export function toCsv<Row>(row: z.ZodObject, rows: readonly Row[]): string {
  return stringify(rows as Row[], { header: true, columns: columnsOf(row), escape_formulas: true, record_delimiter: 'windows' })
}

function columnsOf(row: z.ZodObject): string[] {
  return Object.entries(row.shape).flatMap(([name, field]) =>
    field instanceof z.ZodObject ? columnsOf(field).map((inner) => `${name}.${inner}`) : [name],
  )
}
