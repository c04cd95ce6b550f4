import type { Sql } from '../sql/port.ts'
import type { ConsumeOptions } from './port.ts'

/** Sets down where a new group begins; one that is known stays where it is. */
export async function beginGroup(sql: Sql, { topic, group, from = 'earliest' }: ConsumeOptions): Promise<void> {
  const start = from === 'earliest' ? '0' : '(select coalesce(max(position), 0) from journal.entries)'
  await sql.platform.query(`insert into events.groups values ($1, $2, ${start}) on conflict do nothing`, [topic, group])
}
