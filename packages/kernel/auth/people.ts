import { holds } from '@soma/contracts/tenant'
import type { Sql } from '@soma/ports/sql/port'

/** The person behind a principal's id. */
export type PersonBehind = (principal: string) => string

/** Who stands behind whom in a tenant, and who there is besides. */
export interface People {
  /** An API key acts for whoever made it, and one made with a key for the same person. Anybody else acts for themselves. */
  behind(tenant: string): Promise<PersonBehind>
  /** True when nobody else is known who holds all of the capabilities. */
  isAlone(tenant: string, person: string, capabilities: readonly string[]): Promise<boolean>
}

interface Key {
  id: string
  createdBy: string
  capabilities: string[]
  within: string[][]
  isInUse: boolean
}

/**
 * By what the platform knows of its own keys. With an issuer of one's own nobody is ever alone: who may sign in there, only the issuer
 * knows.
 */
export function createPeople(sql: Sql, { hasIssuer }: { hasIssuer: boolean }): People {
  async function keysOf(tenant: string): Promise<Map<string, Key>> {
    const { rows } = await sql.tenant(tenant).query<Key>(
      `select 'key:' || id as id, created_by as "createdBy", capabilities, within,
         revoked_at is null and (expires_at is null or expires_at > now()) as "isInUse"
       from identity.api_keys where tenant = $1`,
      [tenant],
    )
    return new Map(rows.map((key) => [key.id, key]))
  }

  return {
    async behind(tenant) {
      const keys = await keysOf(tenant)
      return (id) => makerOf(id, keys)
    },
    async isAlone(tenant, person, capabilities) {
      if (hasIssuer) return false
      const keys = await keysOf(tenant)
      return [...keys.values()].every(
        (key) => !key.isInUse || makerOf(key.id, keys) === person || !capabilities.every((capability) => holds(key, capability)),
      )
    },
  }
}

/** Along the keys with which a key was made, to the person, or to the first key, which the platform made. */
function makerOf(id: string, keys: ReadonlyMap<string, Key>): string {
  const createdBy = keys.get(id)?.createdBy
  return createdBy === undefined || createdBy === 'platform' ? id : makerOf(createdBy, keys)
}
