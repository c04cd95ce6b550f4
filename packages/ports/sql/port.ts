import type { Kysely, Transaction } from 'kysely'
import type { Pool } from 'pg'

/** A migration: applied once, in order, inside a transaction that holds an advisory lock. `up` is SQL. */
export interface Migration {
  /** `001-what-it-does`; never changed after it was released. */
  name: string
  up: string
}

/**
 * PostgreSQL. Two ways in, and no third:
 * - `tenant()` runs a transaction as the role `soma_tenant`, which row-level security confines to one tenant and which can't bypass it;
 * - `platform()` sees every tenant and is for what serves all of them (the journal's writer, the engine, projections).
 */
export interface Sql {
  platform<Tables>(): Kysely<Tables>
  tenant<Tables, Result>(tenant: string, work: (transaction: Transaction<Tables>) => Promise<Result>): Promise<Result>
  /** Applies what is missing of a schema's migrations. `schema` is created, and every table in it with a `tenant` column gets row-level security. */
  migrate(schema: string, migrations: readonly Migration[]): Promise<void>
  /** Calls `handler` with each NOTIFY on the channel. Returns how to stop. Reconnects by itself. */
  listen(channel: string, handler: (payload: string) => void, onReconnect?: () => void): Promise<() => Promise<void>>
  notify(channel: string, payload: string): Promise<void>
  /** The raw pool, for statements where a query builder would only be in the way (multi-row appends, advisory locks). */
  readonly pool: Pool
  /** Server version as the server says it, e.g. `18.1`. */
  version(): Promise<string>
  close(): Promise<void>
}
