/** Secrets of tenants. Values never leave by any other way than `read`; they are in no log, event, journal entry or error. */
export interface Secrets {
  write(tenant: string, name: string, value: string): Promise<{ version: number }>
  /** The newest version, or the one asked for; undefined when there is none. */
  read(tenant: string, name: string, version?: number): Promise<string | undefined>
  delete(tenant: string, name: string): Promise<void>
  /** Names and versions, never values. */
  list(tenant: string, prefix?: string): Promise<{ name: string; version: number; updatedAt: string }[]>
  /** Encrypts every secret under a new data key; values stay the same. */
  rotateKeys(): Promise<{ rotated: number }>
  close(): Promise<void>
}
