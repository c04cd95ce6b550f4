import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { issueApiKey } from '@soma/kernel/auth/api-keys'
import type { Sql } from '@soma/ports/sql/port'
import { findTenant, renameTenant } from './tenants.ts'

/** Tenant of a platform that serves one organisation. */
export const FIRST_TENANT = 'main'
const LOCK = 7_301_003

/**
 * Makes the first administrator's key when there is no key at all, and writes it where only the owner of the data folder can read it.
 * The command line finds it there; there is no default password.
 * @returns the file, when a key was made
 */
export async function ensureFirstAdministrator(sql: Sql, dataDirectory: string): Promise<string | undefined> {
  const client = await sql.platform.connect()
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    if (!(await findTenant(sql, FIRST_TENANT))) await renameTenant(sql, FIRST_TENANT, 'Main')
    const { rows } = await client.query('select 1 from identity.api_keys limit 1')
    if (rows.length > 0) return undefined
    const { key } = await issueApiKey(sql, { tenant: FIRST_TENANT, name: 'first administrator', capabilities: ['*'] }, 'platform')
    const file = join(dataDirectory, 'admin.key')
    await writeFile(file, `${key}\n`, { mode: 0o600 })
    return file
  } finally {
    await client.query('select pg_advisory_unlock($1)', [LOCK]).catch(() => undefined)
    client.release()
  }
}
