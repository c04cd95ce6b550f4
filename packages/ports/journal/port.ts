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
  /** Appends to one or several streams, all or nothing. */
  append(...requests: readonly AppendRequest[]): Promise<JournalEntry[]>
  read(tenant: string, stream: string, options?: { afterSeq?: number; limit?: number }): Promise<JournalEntry[]>
  /** Settled entries after a position, oldest first: nothing earlier can still appear. */
  tail(options: {
    after: string
    tenant?: string
    streamPrefix?: string
    kinds?: readonly string[]
    limit?: number
  }): Promise<JournalEntry[]>
  /** The last settled position, `0` when there is none. */
  lastPosition(): Promise<string>
  /** Called soon after something was appended by any process; a hint to read the tail, not a delivery. Returns how to stop. */
  onAppend(listener: () => void): () => void
  close(): Promise<void>
}
