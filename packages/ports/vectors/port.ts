export interface VectorRecord {
  id: string
  vector: readonly number[]
  /** What full-text search looks in. */
  text: string
  metadata: Record<string, string | number | boolean>
}

export interface VectorHit {
  id: string
  /** From 0 to 1, higher is nearer. Cosine similarity for dense search; reciprocal rank fusion for hybrid. */
  score: number
  text: string
  metadata: Record<string, string | number | boolean>
}

/** Vector collections, each of one tenant. Cosine distance. */
export interface Vectors {
  /** Makes the collection unless it is there. @throws `conflict` when it is there with another size */
  ensureCollection(tenant: string, collection: string, options?: { dimensions?: number }): Promise<void>
  upsert(tenant: string, collection: string, records: readonly VectorRecord[]): Promise<void>
  /** Dense when only `vector`, full-text when only `text`, hybrid when both. `filter`: metadata fields that must be equal. */
  search(
    tenant: string,
    collection: string,
    query: { vector?: readonly number[]; text?: string; filter?: Record<string, string | number | boolean>; limit?: number },
  ): Promise<VectorHit[]>
  get(tenant: string, collection: string, ids: readonly string[]): Promise<VectorRecord[]>
  delete(tenant: string, collection: string, ids: readonly string[]): Promise<void>
  count(tenant: string, collection: string): Promise<number>
  dropCollection(tenant: string, collection: string): Promise<void>
  listCollections(tenant: string): Promise<{ name: string; dimensions: number }[]>
  close(): Promise<void>
}
/** Dimensions of a collection when none are given. */
export const DEFAULT_DIMENSIONS = 768
