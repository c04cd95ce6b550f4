import { SomaError } from '@soma/contracts/errors'
import type { JournalEntry } from '@soma/contracts/journal'
import type { AppendRequest, Journal } from './port.ts'

/**
 * Appends one entry at its place in the stream, or gives the one that stands there already: whoever comes first writes it.
 * @throws `stream_conflict` when the stream is not that long yet
 */
export async function appendOnce(journal: Journal, request: AppendRequest & { expectedSeq: number }): Promise<JournalEntry> {
  const { tenant, stream, expectedSeq } = request
  for (;;) {
    try {
      const [entry] = await journal.append(request)
      return entry as JournalEntry
    } catch (error) {
      if (!SomaError.is(error, 'stream_conflict') || Number(error.details.found) < expectedSeq) throw error
      const [entry] = await journal.read(tenant, stream, { afterSeq: expectedSeq, limit: 1 })
      if (entry) return entry
      // The other's append is under way still. Ours comes after it, and finds it on disk or gone.
    }
  }
}
