export interface Lease {
  readonly name: string
  /** Grows with every holder of the name. What the lock protects must refuse a token lower than one it saw. */
  readonly token: bigint
  /** Milliseconds since 1970, by this machine's clock, after which the lease must not be relied on. Grows with `renew`. */
  readonly expiresAt: number
  /** Prolongs it by its time to live from now. False when it was lost: it ran out or was released, whether or not another holds it now. */
  renew(): Promise<boolean>
  /** Gives the lock to whoever waits. Does nothing when the lease was lost. */
  release(): Promise<void>
}

/**
 * Leases with fencing tokens. A name that belongs to a tenant begins with it: `acme/training`. A backend may forget a lease before it ends
 * (a failover of Redis), so two may hold a name for a while; a fence that checks tokens never lets both through in turn.
 */
export interface Locks {
  /**
   * Takes the lock if nobody holds it.
   * @param holder who asks, for `inspect`; by default this machine and process
   * @throws `invalid_input`
   */
  tryAcquire(name: string, options: { ttlMilliseconds: number; holder?: string }): Promise<Lease | undefined>
  /**
   * Waits for the lock up to `waitMilliseconds`. Waiters of one process get it in the order they came.
   * @throws `invalid_input`; `shutting_down` when the locks are closed meanwhile
   */
  acquire(name: string, options: { ttlMilliseconds: number; waitMilliseconds: number; holder?: string }): Promise<Lease | undefined>
  /** Who holds it now. `expiresAt` by this machine's clock. */
  inspect(name: string): Promise<{ holder: string; token: bigint; expiresAt: number } | undefined>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  /** Ends what waits. Leases that are held stay held until they run out. */
  close(): Promise<void>
}
