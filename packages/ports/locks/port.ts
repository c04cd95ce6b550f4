export interface Lease {
  name: string
  /** Grows with every holder of the name. What the lock protects must refuse a token lower than one it saw. */
  token: bigint
  /** Milliseconds since 1970, by this machine's clock, after which the lease must not be relied on. */
  expiresAt: number
  /** Prolongs it by its time to live from now. False when it was lost. */
  renew(): Promise<boolean>
  release(): Promise<void>
}

/** Leases with fencing tokens. */
export interface Locks {
  /** Takes the lock if nobody holds it. */
  tryAcquire(name: string, options: { ttlMilliseconds: number; holder?: string }): Promise<Lease | undefined>
  /** Waits for the lock up to `waitMilliseconds`. */
  acquire(name: string, options: { ttlMilliseconds: number; waitMilliseconds: number; holder?: string }): Promise<Lease | undefined>
  /** Who holds it now. */
  inspect(name: string): Promise<{ holder: string; token: bigint; expiresAt: number } | undefined>
  close(): Promise<void>
}
