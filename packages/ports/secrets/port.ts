/** Secrets of tenants. Values never leave by any other way than `read`; they are in no log, event, journal entry or error. */
export interface Secrets {
  /**
   * Adds a version; earlier ones stay readable. Versions of a name count from 1, also after it was deleted.
   * @param value any text of 1 byte to 1 MiB
   * @throws `invalid_input`, without the value
   */
  write(tenant: string, name: string, value: string): Promise<{ version: number }>
  /** The newest version, or the one asked for; undefined when there is none. */
  read(tenant: string, name: string, version?: number): Promise<string | undefined>
  /** Deletes all versions. */
  delete(tenant: string, name: string): Promise<void>
  /** Names in order, each with its newest version, never values. `updatedAt` is ISO 8601, in UTC. */
  list(tenant: string, prefix?: string): Promise<{ name: string; version: number; updatedAt: string }[]>
  /** Encrypts every secret under a new data key; values stay the same. */
  rotateKeys(): Promise<{ rotated: number }>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}
