import type { ServiceContext } from '@soma/kernel/http/service'
import type { Sql } from '@soma/ports/sql/port'
import { deleteOldAttempts } from './people/attempts.ts'

/** Deletes what is of no use to anybody any more. What fails is done the next time. */
export async function sweep(sql: Sql, logger: Pick<ServiceContext['logger'], 'warn'>): Promise<void> {
  try {
    await deleteOldAttempts(sql)
    await sql.platform.query('delete from identity.sessions where expires_at < now()')
    await sql.platform.query('delete from identity.verifications where expires_at < now()')
    await sql.platform.query("delete from identity.used_codes where used_at < now() - interval '1 hour'")
  } catch (error) {
    logger.warn({ err: error }, 'sessions and codes that ended could not be deleted')
  }
}
