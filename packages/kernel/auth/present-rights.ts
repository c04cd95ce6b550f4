import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Sql } from '@soma/ports/sql/port'
import { capabilitiesOf } from './held-capabilities.ts'
import type { Revocations } from './revocations.ts'

const MOST_REMEMBERED = 10_000

/** A principal within what whoever it acts for may at this moment. */
export type PresentRights = (principal: Principal) => Promise<Principal>

/**
 * What a run acts by was given when it started, and runs may be long. So each action asks what the person behind it may now.
 * @param options.rememberMilliseconds for steps, which follow each other fast. What lives longer than they must not be given by what is
 *   remembered.
 * @returns a function that throws `forbidden` when that person was shut out, and `dependency_unavailable` when nobody can tell
 */
export function createPresentRights(
  { sql, revocations }: { sql: Sql; revocations: Pick<Revocations, 'isShutOut'> },
  { rememberMilliseconds }: { rememberMilliseconds: number },
): PresentRights {
  const remembered = new Map<string, { held: Promise<string[] | undefined>; until: number }>()

  function heldBy(tenant: string, person: string): Promise<string[] | undefined> {
    const key = `${tenant}\n${person}`
    const known = remembered.get(key)
    if (known && known.until > Date.now()) return known.held
    if (remembered.size >= MOST_REMEMBERED) remembered.clear()
    const held = readHeld(sql, tenant, person)
    remembered.set(key, { held, until: Date.now() + rememberMilliseconds })
    held.catch(() => remembered.delete(key))
    return held
  }

  return async (principal) => {
    const { tenant, onBehalfOf = principal.id } = principal
    if (await revocations.isShutOut(tenant, onBehalfOf))
      throw new SomaError('forbidden', `${onBehalfOf}, for whom ${principal.id} acts, was disabled.`, { onBehalfOf, retryable: false })
    const held = await heldBy(tenant, onBehalfOf)
    return held ? { ...principal, within: [...principal.within, held] } : principal
  }
}

/** Undefined for whoever has no roles here: people of another issuer, and keys that the platform made. */
async function readHeld(sql: Sql, tenant: string, person: string): Promise<string[] | undefined> {
  if (!/^(user|account):/.test(person)) return undefined
  const { rows } = await sql.tenant(tenant).query(
    `select h.roles, (select coalesce(json_agg(r), '[]') from identity.roles r where r.name = any(h.roles)) as own from (
       select roles from identity.users where 'user:' || id = $1
       union all select roles from identity.service_accounts where 'account:' || id = $1
     ) h`,
    [person],
  )
  return rows[0] && capabilitiesOf(rows[0].roles, rows[0].own)
}
