/** A cache: may forget at any time, so nothing may depend on it but speed. Keys begin with their tenant. */
export interface Cache {
  get(tenant: string, key: string): Promise<unknown>
  /** @param ttlMilliseconds at the most this long */
  set(tenant: string, key: string, value: unknown, ttlMilliseconds: number): Promise<void>
  delete(tenant: string, key: string): Promise<void>
  /** Adds to a counter and gives its new value; the counter goes `ttlMilliseconds` after it began. Exact across processes: rate limits stand on it. */
  increment(tenant: string, key: string, by: number, ttlMilliseconds: number): Promise<number>
  close(): Promise<void>
}
