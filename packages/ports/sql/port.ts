import type { ClientBase, Pool } from 'pg'

/** A migration: applied once, in order, inside a transaction that holds an advisory lock. `up` is SQL. */
export interface Migration {
  /** `001-what-it-does`; never changed after it was released. */
  name: string
  up: string
}

/** What runs statements: values go in as parameters (`$1`), never as text. */
export type Statements = Pick<ClientBase, 'query'>

/**
 * PostgreSQL. Two ways in, and no third:
 * - `tenant()` runs a transaction as the role `soma_tenant`, which row-level security confines to one tenant and which can't bypass it;
 * - `transaction()` and `pool` see every tenant and are for what serves all of them (the journal's writer, the engine, projections).
 */
export interface Sql {
  tenant<Result>(tenant: string, work: (transaction: Statements) => Promise<Result>): Promise<Result>
  transaction<Result>(work: (transaction: Statements) => Promise<Result>): Promise<Result>
  /** Applies what is missing of a schema's migrations. `schema` is created, and every table in it with a `tenant` column gets row-level security. */
  migrate(schema: string, migrations: readonly Migration[]): Promise<void>
  /** Calls `handler` with each NOTIFY on the channel. Returns how to stop. Reconnects by itself. */
  listen(channel: string, handler: (payload: string) => void, onReconnect?: () => void): Promise<() => Promise<void>>
  notify(channel: string, payload: string): Promise<void>
  /** For single statements, each a transaction of its own. */
  readonly pool: Pool
  /** Server version as the server says it, e.g. `18.1`. */
  version(): Promise<string>
  close(): Promise<void>
}
