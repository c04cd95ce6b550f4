export type Metadata = Record<string, string | number | boolean>

export interface VectorRecord {
  /** Up to 512 bytes of UTF-8. */
  id: string
  /** Kept as 32-bit floats; a driver may scale it to length 1, for only its direction counts. Not all zeros. */
  vector: readonly number[]
  /** What full-text search looks in. */
  text: string
  metadata: Metadata
}

export interface VectorHit {
  id: string
  /**
   * Higher is nearer. Dense search: cosine similarity, from -1 to 1. Full-text and hybrid search (reciprocal rank fusion): from 0
   * to 1, to be compared only within one answer.
   */
  score: number
  text: string
  metadata: Metadata
}

export interface VectorQuery {
  vector?: readonly number[]
  /** Words to look for; a record matches when it holds at least one of them. No query language: quotes and operators are plain text. */
  text?: string
  /** Metadata fields that must be equal, type included: `1` is not `"1"`. */
  filter?: Metadata
  /** From 1 to 1000, default 10. */
  limit?: number
}

/**
 * Vector collections, each of one tenant. A collection's name is 1 to 63 lower-case letters, digits, `-` or `_`, beginning with a
 * letter. What a method has confirmed, the next search finds. Every method throws `invalid_input` for what breaks these rules, and
 * `not_found` for a collection that was not made, unless it says otherwise.
 */
export interface Vectors {
  /** Makes the collection unless it is there. @throws `conflict` when it is there with another size */
  ensureCollection(tenant: string, collection: string, options?: { dimensions?: number }): Promise<void>
  /** Adds records, or replaces those with the same id; the last one of an id counts. @throws `disk_full` */
  upsert(tenant: string, collection: string, records: readonly VectorRecord[]): Promise<void>
  /** Dense when only `vector`, full-text when only `text`, hybrid when both. Nearest first. */
  search(tenant: string, collection: string, query: VectorQuery): Promise<VectorHit[]>
  /** In the order asked for, without those that are not there. */
  get(tenant: string, collection: string, ids: readonly string[]): Promise<VectorRecord[]>
  /** Deleting what is not there is no error. */
  delete(tenant: string, collection: string, ids: readonly string[]): Promise<void>
  count(tenant: string, collection: string): Promise<number>
  /** Dropping what is not there is no error. */
  dropCollection(tenant: string, collection: string): Promise<void>
  /** In the order of names. */
  listCollections(tenant: string): Promise<{ name: string; dimensions: number }[]>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}

/** Dimensions of a collection when none are given. */
export const DEFAULT_DIMENSIONS = 768
/** The most a collection may have; the largest embedding models give 4096. */
export const MAX_DIMENSIONS = 8192
