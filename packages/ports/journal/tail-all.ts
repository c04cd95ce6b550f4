import type { JournalEntry } from '@soma/contracts/journal'
import type { Journal } from './port.ts'

/** Every settled entry that the query gives now, page by page. */
export async function* tailAll(journal: Journal, query: Omit<Parameters<Journal['tail']>[0], 'after'>): AsyncGenerator<JournalEntry> {
  for (let after = '0'; ; ) {
    const page = await journal.tail({ ...query, after })
    yield* page
    const last = page.at(-1)
    if (!last) return
    after = last.position
  }
}
