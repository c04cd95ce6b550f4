import { invalidInput } from '@soma/kernel/http/problem'
import { z } from 'zod'
import type { Window } from '../figures.ts'

const DAY = 86_400_000
/** Media type of figures for spreadsheets. */
export const CSV = 'text/csv; charset=utf-8'
/** Days before `to` that count when `from` is not given. */
const DEFAULT_DAYS = 30

export const FormatQuery = z.object({ format: z.enum(['json', 'csv']).default('json') })
const Time = z.iso.datetime({ offset: true }).transform((text) => new Date(text))
export const WindowQuery = FormatQuery.extend({
  from: Time.optional().describe(`First moment that counts; ${DEFAULT_DAYS} days before "to" by default`),
  to: Time.optional().describe('First moment that does not count any more; now by default'),
})

/** @throws `invalid_input` when nothing can lie in the window */
export function windowOf({ from, to = new Date() }: z.output<typeof WindowQuery>): Window {
  const window = { from: from ?? new Date(to.getTime() - DEFAULT_DAYS * DAY), to }
  if (window.from < window.to) return window
  const message = `${window.from.toISOString()} is not before "to", ${window.to.toISOString()}; choose an earlier one`
  throw invalidInput([{ path: ['from'], message }], 'querystring')
}

/** The answer's schema in both formats. */
export function jsonOrCsv<Json extends z.ZodType>(json: Json) {
  return {
    200: { description: 'The figures', content: { 'application/json': { schema: json }, 'text/csv': { schema: z.string() } } },
  }
}
