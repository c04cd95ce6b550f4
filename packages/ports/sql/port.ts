import type { ClientBase, PoolClient } from 'pg'

/** A migration: applied once, in order, inside a transaction that holds an advisory lock. `up` is SQL. */
export interface Migration {
  /** `001-what-it-does`; never changed after it was released. */
  name: string
  up: string
}

/** What runs statements: values go in as parameters (`$1`), never as text. */
export type Statements = Pick<ClientBase, 'query'>

/** Statements, each a transaction of its own, and several in one. */
export interface Access extends Statements {
  /** Committed when `work` resolves, rolled back when it throws. */
  transaction<Result>(work: (transaction: Statements) => Promise<Result>): Promise<Result>
}

export interface PlatformAccess extends Access {
  /** A connection of one's own, for locks that live as long as it does. The caller releases it. */
  connect(): Promise<PoolClient>
}

/**
 * PostgreSQL. Two ways in, and no third:
 * - `tenant()` runs as the role `soma_tenant`, which row-level security confines to one tenant. A statement that forgets its tenant sees
 *   and changes that tenant's rows and no others; outside of `tenant()` that role sees none.
 * - `platform` runs as the role `soma_platform`, which sees every tenant. It is for what serves all of them or does not know the
 *   tenant yet; `test/isolation/platform-access.test.ts` names each file that may use it, and why.
 *
 * Neither role can bypass row-level security or change a table; migrations run as whoever logged in.
 */
export interface Sql {
  tenant(tenant: string): Access
  readonly platform: PlatformAccess
  /** Applies what is missing of a schema's migrations. `schema` is created, and every table in it with a `tenant` column is put under row-level security. */
  migrate(schema: string, migrations: readonly Migration[]): Promise<void>
  /** Calls `handler` with each NOTIFY on the channel. Returns how to stop. Reconnects by itself. */
  listen(channel: string, handler: (payload: string) => void, onReconnect?: () => void): Promise<() => Promise<void>>
  notify(channel: string, payload: string): Promise<void>
  /** Server version as the server says it, e.g. `18.1`. */
  version(): Promise<string>
  close(): Promise<void>
}
