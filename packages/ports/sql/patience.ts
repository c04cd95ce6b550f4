import type pg from 'pg'
import type { Statements } from './port.ts'

/** How long callers are held up by a server, or a network, that takes what is sent and gives nothing back. */
export interface Patience {
  /** For a connection: a new one, or one of the pool that is free again. */
  connectMilliseconds: number
  /** For the outcome of one statement. */
  statementMilliseconds: number
}

const USUAL: Patience = { connectMilliseconds: 15_000, statementMilliseconds: 30_000 }
/** The server has so much longer to say that it ended a statement as too slow: then it is known that nothing was done. */
const GRACE_MILLISECONDS = 2000
/** Until the operating system asks whether the other side of a silent connection is there. Listeners are silent for long. */
const KEEP_ALIVE_AFTER_MILLISECONDS = 10_000
/** The longest that a timer takes. */
const FOR_EVER = 2 ** 31 - 1

/** The connection, given up when it is not made in time, and with it each statement that has no outcome in time. */
export function withPatience<Connection extends pg.ClientConfig>(connection: Connection, patience: Partial<Patience> = {}): Connection {
  const { connectMilliseconds, statementMilliseconds } = { ...USUAL, ...patience }
  return {
    ...connection,
    connectionTimeoutMillis: connectMilliseconds,
    statement_timeout: statementMilliseconds,
    query_timeout: statementMilliseconds + GRACE_MILLISECONDS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MILLISECONDS,
  }
}

/** A statement that is waited for so long, whatever the connection's patience. The server itself may end it earlier. */
export function statementWithin(milliseconds: number, text: string, values?: unknown[]): pg.QueryConfig {
  // `pg` knows it; its types do not.
  const statement = { text, values, query_timeout: milliseconds }
  return statement
}

/** Statements that take the time they need, once `set local statement_timeout to 0` has told the server so. */
export function withoutHurry(statements: Statements): Statements {
  const unhurried = (text: string, values?: unknown[]) => statements.query(statementWithin(FOR_EVER, text, values))
  return { query: unhurried as Statements['query'] }
}
