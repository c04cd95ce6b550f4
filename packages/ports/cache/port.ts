/**
 * A cache: may forget at any time, so nothing may depend on it but speed. Values and counters of one key are apart. What another
 * process sets or deletes is seen within moments; should the connection that says so be lost, within five seconds.
 *
 * Session state may be kept here where forgetting it means to sign in again. Two things are not promised: a change based on the value read
 * (the last `set` wins), and that a deletion is seen everywhere before `delete` resolves; so a session that must end at once is also
 * checked against its record.
 *
 * Everything throws `invalid_input` for a tenant, key, value or time that can not be.
 */
export interface Cache {
  /** The value, the caller's own copy of it; undefined when there is none. */
  get(tenant: string, key: string): Promise<unknown>
  /**
   * @param value anything JSON can say, at most 8 MiB
   * @param ttlMilliseconds at the most this long
   */
  set(tenant: string, key: string, value: unknown, ttlMilliseconds: number): Promise<void>
  /** Forgets the value and the counter. */
  delete(tenant: string, key: string): Promise<void>
  /**
   * Adds to a counter and gives its new value; the counter goes `ttlMilliseconds` after it began. Exact across processes: rate limits stand on it.
   * @param by a whole number; 0 reads, but also begins the counter
   */
  increment(tenant: string, key: string, by: number, ttlMilliseconds: number): Promise<number>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}
