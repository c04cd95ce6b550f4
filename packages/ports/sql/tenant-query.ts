import pg from 'pg'
import { TENANT_ROLE } from './roles.ts'

const PREPARED = 'soma_as_tenant'

/**
 * Run once on every connection. What it prepares puts on a tenant and the tenants' role until the end of the transaction, and gives no
 * rows, so that it can stand before a statement without being seen.
 */
export const PREPARE_AS_TENANT = `prepare ${PREPARED}(text) as
  select where set_config('soma.tenant', $1, true) || set_config('role', '${TENANT_ROLE}', true) is null`

/** Begins a transaction as the tenant, in one round trip. */
export function beginAsTenant(tenant: string): string {
  return `begin; execute ${PREPARED}(${pg.escapeLiteral(tenant)})`
}

/** What of `pg`'s query and connection is used here; its types leave it out. */
interface Wire {
  bind(message: { statement: string; values: readonly string[] }): void
  execute(message: object): void
}
interface QueryOnTheWire {
  prepare(wire: Wire): void
  handleCommandComplete(message: unknown, wire: Wire): void
}
const ExtendedQuery = pg.Query as unknown as new (
  config: pg.QueryConfig & { queryMode: 'extended' },
  values: unknown[] | undefined,
  callback: (error: Error | undefined, result: pg.QueryResult) => void,
) => pg.Query & QueryOnTheWire

/**
 * One statement as a tenant. Role and statement go over in one message, which PostgreSQL takes for one transaction: it costs no round
 * trip more than a statement alone, and should the role not be taken, the statement is never run.
 */
export class TenantQuery extends ExtendedQuery {
  private readonly tenant: string
  private isTenant = false

  constructor(tenant: string, statement: pg.QueryConfig, callback: (error: Error | undefined, result: pg.QueryResult) => void) {
    super({ ...statement, queryMode: 'extended' }, undefined, callback)
    this.tenant = tenant
  }

  override prepare(wire: Wire): void {
    wire.bind({ statement: PREPARED, values: [this.tenant] })
    wire.execute({})
    super.prepare(wire)
  }

  override handleCommandComplete(message: unknown, wire: Wire): void {
    if (this.isTenant) super.handleCommandComplete(message, wire)
    this.isTenant = true
  }
}
