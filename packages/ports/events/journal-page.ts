import type { JournalEntry } from '@soma/contracts/journal'
import type { Journal } from '../journal/port.ts'

export interface JournalPage {
  entries: JournalEntry[]
  /** Whether nothing more was there when it was read. */
  isLast: boolean
  /** Where to read on when all of the page is done. */
  end: string
}

/** Reads on after a position. What lies between the page and its end belongs to others and need not be looked at again. */
export async function readPage(journal: Journal, query: Parameters<Journal['tail']>[0] & { limit: number }): Promise<JournalPage> {
  // Asked before the reading: what is settled by then and not on the page is of no concern here.
  const settled = await journal.lastPosition()
  const entries = await journal.tail(query)
  const isLast = entries.length < query.limit
  const last = entries.at(-1)?.position ?? query.after
  return { entries, isLast, end: isLast && BigInt(settled) > BigInt(last) ? settled : last }
}
