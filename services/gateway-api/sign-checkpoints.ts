import type { ServiceContext } from '@soma/kernel/http/service'
import type { Ledger } from '@soma/kernel/ledger/ledger'
import type { Sql } from '@soma/ports/sql/port'

/** Milliseconds between checkpoints: what was appended since could be cut off unseen. */
const EVERY = 30_000

/** Signs a checkpoint of every tenant's ledger again and again, and once more at the end. Returns how to stop. */
export function signCheckpoints({
  sql,
  ledger,
  logger,
}: { sql: Sql; ledger: Ledger } & Pick<ServiceContext, 'logger'>): () => Promise<void> {
  const signAll = async () => {
    const { rows } = await sql.pool.query<{ tenant: string }>('select distinct tenant from identity.api_keys')
    for (const { tenant } of rows) await ledger.checkpoint(tenant)
  }
  let turn: Promise<void> = Promise.resolve()
  const next = () => {
    turn = turn
      .then(signAll)
      .catch((error) => logger.warn({ err: error }, 'a checkpoint of the ledger could not be signed; it is tried again'))
    return turn
  }
  const timer = setInterval(next, EVERY)
  return async () => {
    clearInterval(timer)
    await next()
  }
}
