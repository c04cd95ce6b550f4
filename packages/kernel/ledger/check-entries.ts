import { contentDigest, entryHash, GENESIS } from '@soma/contracts/journal'
import type { StoredEntry } from '@soma/ports/journal/port'
import type { LedgerHeader } from './ledger-line.ts'
import { type Place, placeOf, type Report } from './ledger-problem.ts'
import { isKeptWhole, REDACTED_KIND, redactionsOf, Tombstone } from './redaction-record.ts'

/** Checks entries by themselves and against those before them. */
export interface EntryChecks {
  check(entry: StoredEntry, line: number): void
  /** At the end: what was announced and did not come. */
  finish(): void
  seen(): { entries: number; streams: number; redacted: number; withheld: number; head?: string }
}

/** Content that is not there, and by which line. */
type Missing = Map<number, Place & { line: number }>

export function createEntryChecks(header: LedgerHeader, report: Report): EntryChecks {
  const streams = new Map<string, { seq: number; hash: string }>()
  /** By the stream that must say so. */
  const missing = new Map<string, Missing>()
  const seen: ReturnType<EntryChecks['seen']> = { entries: 0, streams: 0, redacted: 0, withheld: 0 }

  function checkContent(entry: StoredEntry, line: number): void {
    const { text, salt, stream, seq, kind, digest } = entry
    if (text !== undefined) {
      if (contentDigest(text, salt) !== digest)
        report(
          'content_changed',
          `The content of entry ${seq} of ${stream} was changed: it does not have the digest that was recorded.`,
          entry,
        )
      else if (kind === REDACTED_KIND) accountFor(stream, text)
    } else if (header.kinds && !isKeptWhole(kind, header.kinds)) seen.withheld++
    else {
      const place = redactionsOf(stream)
      const ofStream: Missing = missing.get(place) ?? new Map()
      ofStream.set(seq, { ...placeOf(entry), line })
      missing.set(place, ofStream)
    }
  }

  /** A redaction says of which entries the content was taken away. It comes after them. */
  function accountFor(stream: string, text: string): void {
    const { data: tombstone } = Tombstone.safeParse(JSON.parse(text))
    for (const seq of tombstone?.seqs ?? []) if (missing.get(stream)?.delete(seq)) seen.redacted++
  }

  function checkLink(entry: StoredEntry): void {
    const { stream, seq, prevHash } = entry
    const last = streams.get(stream) ?? (header.after ? undefined : { seq: 0, hash: GENESIS })
    streams.set(stream, { seq, hash: entry.hash })
    // Of a range, what came before is not there to be linked to.
    if (last === undefined) return
    if (seq > last.seq + 1)
      report(
        'entries_missing',
        `Entry ${seq} of ${stream} is missing ${seq - last.seq - 1} entries before it: the one before it is number ${last.seq}.`,
        entry,
      )
    else if (seq <= last.seq)
      report('entry_inserted', `Entry ${seq} of ${stream} was inserted or moved: the one before it is number ${last.seq}.`, entry)
    else if (prevHash !== last.hash)
      report('entry_replaced', `Entry ${seq} of ${stream} does not follow the entry before it: one of them was replaced.`, entry)
  }

  return {
    check(entry, line) {
      const { stream, seq, tenant } = entry
      seen.entries++
      seen.head = entry.hash
      if (tenant !== header.tenant) report('other_tenant', `Entry ${seq} of ${stream} belongs to another tenant.`, entry)
      checkContent(entry, line)
      if (entryHash(entry) !== entry.hash)
        report('entry_changed', `Entry ${seq} of ${stream} was changed: its fields do not give its hash.`, entry)
      if (header.scope === 'entries') streams.set(stream, entry)
      else checkLink(entry)
    },
    finish() {
      for (const ofStream of missing.values()) {
        for (const { line, ...place } of ofStream.values())
          report('content_missing', `Entry ${place.seq} of ${place.stream} has no content, and no redaction of it is recorded.`, {
            ...place,
            fromLine: line,
          })
      }
    },
    seen: () => ({ ...seen, streams: streams.size }),
  }
}
