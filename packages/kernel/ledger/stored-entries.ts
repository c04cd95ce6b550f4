import type { Journal, StoredEntry } from '@soma/ports/journal/port'

/** Every settled entry that the query gives, page by page: however many there are, some megabytes of them are in memory. */
export async function* storedEntries(
  journal: Journal,
  query: Omit<Parameters<Journal['stored']>[0], 'limit'>,
): AsyncGenerator<StoredEntry> {
  for (let after = query.after; after !== query.through; ) {
    const page = await journal.stored({ ...query, after })
    yield* page
    const last = page.at(-1)
    if (!last) return
    after = last.position
  }
}
