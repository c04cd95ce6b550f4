/** Secrets of tenants. Values never leave by any other way than `read`; they are in no log, event, journal entry or error. */
export interface Secrets {
  /**
   * Adds a version; the 1,000 before it, at the least, stay readable. Versions of a name count from 1, and again from 1 after it was deleted.
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
  /**
   * Puts new keys in force for what is written from now on; values and versions stay as they are. A driver that holds the keys itself
   * also encrypts every version anew. A server that holds them keeps the old ones for what was written under them, as Vault does.
   * @returns how many versions were encrypted anew
   */
  rotateKeys(): Promise<{ rotated: number }>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): Promise<void>
}
