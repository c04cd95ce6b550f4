import type { JournalEntry } from '@soma/contracts/journal'

export interface AppendRequest {
  tenant: string
  stream: string
  /**
   * What the writer believes the stream's last seq to be (0: empty). Another value in the store means that somebody else owns the
   * stream, and the append fails with `stream_conflict`. `any`: append wherever the end is.
   */
  expectedSeq: number | 'any'
  entries: readonly { kind: string; payload: unknown; at?: string }[]
}

/**
 * The one append-only log: workflow history, audit ledger, event log and recording at once. Appends of all callers are committed in
 * groups; when the promise resolves, the entries are on disk.
 */
export interface Journal {
  /**
   * Appends to one or several streams, all or nothing. What the caller must mend (a payload over the limit) is thrown at once,
   * before anything is queued; later appends of the caller are then not affected.
   * @throws `invalid_input` at once; rejects with `stream_conflict`, `audit_unavailable`, `disk_full`
   */
  append(...requests: readonly AppendRequest[]): Promise<JournalEntry[]>
  read(tenant: string, stream: string, options?: { afterSeq?: number; limit?: number }): Promise<JournalEntry[]>
  /** A stream's last entry. */
  readLast(tenant: string, stream: string): Promise<JournalEntry | undefined>
  /** Settled entries after a position, oldest first: nothing earlier can still appear. */
  tail(options: {
    after: string
    tenant?: string
    streamPrefix?: string
    kinds?: readonly string[]
    limit?: number
    /** Also what older transactions may still precede. Only for the owner of the streams, after `barrier()`. */
    includeUnsettled?: boolean
  }): Promise<JournalEntry[]>
  /** Waits until every append that anybody had begun is on disk or gone. The owner of streams calls it when it takes over from a dead one. */
  barrier(): Promise<void>
  /** The last settled position, `0` when there is none. */
  lastPosition(): Promise<string>
  /** Called soon after something was appended by any process; a hint to read the tail, not a delivery. Returns how to stop. */
  onAppend(listener: () => void): () => void
  close(): Promise<void>
}
