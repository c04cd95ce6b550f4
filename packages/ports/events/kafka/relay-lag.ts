import type { Sql } from '../../sql/port.ts'

/**
 * Milliseconds that the oldest entry has waited which the relay to Kafka has not noted as sent; 0 when none waits. Of several clusters,
 * one after another, the one that got furthest counts. The relay notes twice a second how far it is.
 */
export async function relayLag({ platform }: Pick<Sql, 'platform'>): Promise<number> {
  const { rows } = await platform.query<{ milliseconds: number }>(
    `select extract(epoch from now() - at)::float8 * 1000 as milliseconds from journal.entries
     where position > (select coalesce(max(position), 0) from events.groups where topic = 'kafka/relay')
     order by position limit 1`,
  )
  return Math.max(0, rows[0]?.milliseconds ?? 0)
}
