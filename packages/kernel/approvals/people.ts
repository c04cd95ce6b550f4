import { holds } from '@soma/contracts/tenant'
import type { Sql } from '@soma/ports/sql/port'
import { APPROVAL_DECIDE } from './delegations.ts'

/** Who there is in a tenant besides whoever asks. */
export interface People {
  /** True when nobody else is known who could decide and holds the capabilities. */
  isAlone(tenant: string, person: string, capabilities: readonly string[]): Promise<boolean>
}

/**
 * By the keys that the platform gave out. With an issuer of one's own nobody is ever alone: who may sign in there, only the issuer knows.
 */
export function createPeople(sql: Sql, { hasIssuer }: { hasIssuer: boolean }): People {
  return {
    async isAlone(tenant, person, capabilities) {
      if (hasIssuer) return false
      const { rows } = await sql.tenant(tenant).query(
        `select 'key:' || id as id, capabilities, within from identity.api_keys
         where tenant = $1 and revoked_at is null and (expires_at is null or expires_at > now())`,
        [tenant],
      )
      const needed = [APPROVAL_DECIDE, ...capabilities]
      return rows.every((key) => key.id === person || !needed.every((capability) => holds(key, capability)))
    },
  }
}
