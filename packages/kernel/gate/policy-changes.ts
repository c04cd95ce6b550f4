import { setTimeout as pass } from 'node:timers/promises'
import type { Broadcast } from '@soma/ports/broadcast/port'
import { statementWithin } from '@soma/ports/sql/patience'
import type { Migration, Sql, Statements } from '@soma/ports/sql/port'
import { keepLooking } from '../lifecycle/keep-looking.ts'

export const POLICY_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-changes',
    up: `create table last_change (number bigint not null);
    insert into last_change values (0);
    create table changes (tenant text primary key, number bigint not null);
    create index changes_number on changes (number);`,
  },
]

const CHANNEL = 'policy'
/** Whom no broadcast reaches sees a change by looking. */
const LOOK_EVERY_MILLISECONDS = 1_000
/** A look at a database that hangs does not hold up the next for long. */
const LOOK_WITHIN_MILLISECONDS = 5_000

/** Changes of tenants' rules, so that every process asks for them anew. */
export interface PolicyChanges {
  /** Notes a change, in the transaction that makes it. */
  note(transaction: Statements, tenant: string): Promise<void>
  /**
   * To be called once that is committed. When it resolves, this process has heard of the change, and every process that broadcast reaches was
   * told; any other hears of it within a second or so. Never rejects.
   */
  announce(): Promise<void>
  /** Told of each tenant whose rules changed; `platform` is the base of everybody's. */
  onChange(listener: (tenant: string) => void): () => void
  close(): Promise<void>
}

/** Kept in PostgreSQL, told by broadcast and, should that be away, looked for every second. */
export async function openPolicyChanges({ sql, broadcast }: { sql: Sql; broadcast: Broadcast }): Promise<PolicyChanges> {
  await sql.migrate('policy', POLICY_MIGRATIONS)
  const listeners = new Set<(tenant: string) => void>()
  const { rows } = await sql.platform.query<{ number: string }>('select number from policy.last_change')
  let seen = BigInt(rows[0]?.number ?? 0)

  async function look(): Promise<void> {
    const { rows } = await sql.platform.query<{ tenant: string; number: string }>(
      statementWithin(LOOK_WITHIN_MILLISECONDS, 'select tenant, number from policy.changes where number > $1 order by number', [seen]),
    )
    for (const { tenant, number } of rows) {
      // Another look may have told of it.
      if (BigInt(number) <= seen) continue
      seen = BigInt(number)
      for (const listener of listeners) listener(tenant)
    }
  }

  // What can't be read is found at the next look.
  const lookNow = () => look().catch(() => undefined)
  const stopListening = await broadcast.subscribe(CHANNEL, lookNow, lookNow)
  const stopLooking = keepLooking(lookNow, LOOK_EVERY_MILLISECONDS)

  return {
    async note(transaction, tenant) {
      // The one row is locked until the commit, so numbers become visible in their order and none is passed over.
      await transaction.query(
        `with next as (update policy.last_change set number = number + 1 returning number)
         insert into policy.changes select $1, number from next on conflict (tenant) do update set number = excluded.number`,
        [tenant],
      )
    },
    async announce() {
      const told = broadcast.publish(CHANNEL, {}).catch(() => undefined)
      await Promise.all([lookNow(), Promise.race([told, pass(LOOK_EVERY_MILLISECONDS)])])
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    async close() {
      stopLooking()
      await stopListening()
    },
  }
}
