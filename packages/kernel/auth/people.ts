import { holds } from '@soma/contracts/tenant'
import type { Sql } from '@soma/ports/sql/port'
import { capabilitiesOf } from './held-capabilities.ts'

/** Who there is in a tenant, as far as the platform knows. */
export interface KnownPeople {
  /**
   * The person behind a principal's id. An API key acts for the user or service account who holds it, or else for whoever made it; one
   * made with a key for the same person. Anybody else acts for themselves.
   */
  behind(principal: string): string
  /** What a user, service account or key may at present, nothing when it is shut out; undefined for who is not kept here. */
  capabilitiesOf(principal: string): string[] | undefined
  /** True when nobody else is known who holds all of the capabilities. */
  isAlone(person: string, capabilities: readonly string[]): boolean
}

export interface People {
  in(tenant: string): Promise<KnownPeople>
}

interface Key {
  id: string
  holder: string | null
  createdBy: string
  capabilities: string[]
  within: string[][]
  isInUse: boolean
}

/** With an issuer of one's own nobody is ever alone: who may sign in there, only the issuer knows. */
export function createPeople(sql: Sql, { hasIssuer }: { hasIssuer: boolean }): People {
  return {
    async in(tenant) {
      const { rows } = await sql.tenant(tenant).query(READ_PEOPLE)
      const { keys, holders, roles } = rows[0] as {
        keys: Key[] | null
        holders: { id: string; roles: string[]; isActive: boolean }[] | null
        roles: { name: string; capabilities: string[] }[] | null
      }
      const keyOf = new Map((keys ?? []).map((key) => [key.id, key]))
      const held = new Map((holders ?? []).map(({ id, roles: own, isActive }) => [id, isActive ? capabilitiesOf(own, roles ?? []) : []]))
      const behind = (principal: string) => personBehind(principal, keyOf)
      const others = (person: string) =>
        [
          ...[...keyOf.values()].filter(({ isInUse }) => isInUse).map(({ id, capabilities, within }) => ({ id, capabilities, within })),
          ...[...held].map(([id, capabilities]) => ({ id, capabilities, within: [] })),
        ].filter(({ id }) => behind(id) !== person)
      return {
        behind,
        capabilitiesOf(principal) {
          const key = keyOf.get(principal)
          return key ? (key.isInUse ? key.capabilities : []) : held.get(principal)
        },
        isAlone: (person, capabilities) =>
          !hasIssuer && others(person).every((other) => !capabilities.every((capability) => holds(other, capability))),
      }
    },
  }
}

/** Row-level security keeps it to the tenant. */
const READ_PEOPLE = `select
  (select json_agg(json_build_object('id', 'key:' || id, 'holder', holder, 'createdBy', created_by, 'capabilities', capabilities, 'within', within,
     'isInUse', revoked_at is null and (expires_at is null or expires_at > now()))) from identity.api_keys) as keys,
  (select json_agg(json_build_object('id', id, 'roles', roles, 'isActive', active)) from (
     select 'user:' || id as id, roles, is_active as active from identity.users
     union all select 'account:' || id, roles, is_active from identity.service_accounts) h) as holders,
  (select json_agg(json_build_object('name', name, 'capabilities', capabilities)) from identity.roles) as roles`

function personBehind(id: string, keys: ReadonlyMap<string, Key>): string {
  const key = keys.get(id)
  if (!key) return id
  if (key.holder) return key.holder
  return key.createdBy === 'platform' ? id : personBehind(key.createdBy, keys)
}
