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

/** An entry exactly as it is stored, for whoever proves it. */
export interface StoredEntry extends Omit<JournalEntry, 'payload' | 'redacted'> {
  /** The payload's JSON as it was written. Not there when it was redacted. */
  text?: string
  /** What the payload's digest was made with besides the text. */
  salt?: string
}

/** In the place of a tenant's name: for what serves all tenants, and nothing else. */
export const EVERY_TENANT = Symbol('every tenant')

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
  /** A stream's entries, also those that were redacted: asking one of them for its payload throws `redacted`. */
  read(tenant: string, stream: string, options?: { afterSeq?: number; limit?: number }): Promise<JournalEntry[]>
  /** A stream's last entry. */
  readLast(tenant: string, stream: string): Promise<JournalEntry | undefined>
  /** Settled entries after a position, oldest first: nothing earlier can still appear. Redacted ones have nothing to say and are left out. */
  tail(options: {
    after: string
    tenant: string | typeof EVERY_TENANT
    streamPrefix?: string
    kinds?: readonly string[]
    limit?: number
    /** Also what older transactions may still precede. Only for the owner of the streams, after `barrier()`. */
    includeUnsettled?: boolean
  }): Promise<JournalEntry[]>
  /**
   * Settled entries of a tenant after a position (and up to one), oldest first, as they are stored, redacted ones as well. At most
   * `limit`, and no more than some megabytes at once: only an empty answer is the end.
   */
  stored(query: {
    tenant: string
    after: string
    through?: string
    stream?: string
    kinds?: readonly string[]
    /** Only those that were not redacted. */
    withContent?: boolean
    limit?: number
  }): Promise<StoredEntry[]>
  /** The kinds of a tenant's entries. */
  kinds(tenant: string): Promise<string[]>
  /** Every tenant that has entries. */
  tenants(): Promise<string[]>
  /** Takes the payloads away, for good. Everything else of the entries stays, and with it the chain. What has none is left as it is. */
  redact(tenant: string, stream: string, seqs: readonly number[]): Promise<void>
  /** The newest settled entries of some streams, newest first. All that the prefix covers are sorted, so it should say a day or the like. */
  newest(options: { tenant: string; streamPrefix: string; kinds?: readonly string[]; limit: number }): Promise<JournalEntry[]>
  /** Waits until every append that anybody had begun is on disk or gone. The owner of streams calls it when it takes over from a dead one. */
  barrier(): Promise<void>
  /** The last settled position, `0` when there is none. */
  lastPosition(): Promise<string>
  /** Called soon after something was appended by any process; a hint to read the tail, not a delivery. Returns how to stop. */
  onAppend(listener: () => void): () => void
  close(): Promise<void>
}
