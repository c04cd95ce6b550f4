import pg from 'pg'
import { isDatabaseAway } from './failure.ts'
import type { Access, PlatformAccess, Statements } from './port.ts'
import { beginAsTenant, TenantQuery } from './tenant-query.ts'

/** Within one tenant, on any connection of the pool. */
export function tenantAccess(pool: pg.Pool, tenant: string): Access {
  const query = async (statement: string | pg.QueryConfig, values?: unknown[]): Promise<pg.QueryResult> => {
    const config = typeof statement === 'string' ? { text: statement, values } : { values, ...statement }
    const client = await pool.connect()
    return new Promise((resolve, reject) => {
      const settle = (error: Error | undefined, result: pg.QueryResult) => {
        // What PostgreSQL refused leaves the connection as it was; after anything else nobody is given it.
        client.release(error instanceof pg.DatabaseError ? undefined : error)
        if (error) reject(error)
        else resolve(result)
      }
      client.query(new TenantQuery(tenant, config, settle))
    })
  }
  return { query: query as Statements['query'], transaction: (work) => inTransaction(pool, beginAsTenant(tenant), work) }
}

/** Over all tenants: the role that every connection of the pool has. */
export function platformAccess(pool: pg.Pool): PlatformAccess {
  return {
    query: pool.query.bind(pool) as Statements['query'],
    transaction: (work) => inTransaction(pool, 'begin', work),
    connect: () => pool.connect(),
  }
}

async function inTransaction<Result>(pool: pg.Pool, begin: string, work: (transaction: Statements) => Promise<Result>): Promise<Result> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await client.query(begin)
    const result = await work(client)
    await client.query('commit')
    return result
  } catch (error) {
    // A connection that may be silent is not asked to roll back: its end does that.
    if (isDatabaseAway(error)) failure = error as Error
    else
      await client.query('rollback').catch((broken: Error) => {
        failure = broken
      })
    throw error
  } finally {
    // One that can't roll back is not given to anybody else.
    client.release(failure)
  }
}
