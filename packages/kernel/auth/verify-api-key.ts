import { timingSafeEqual } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Role } from '@soma/contracts/roles'
import type { Principal } from '@soma/contracts/tenant'
import type { Sql } from '@soma/ports/sql/port'
import { digestOfSecret } from './api-keys.ts'
import { capabilitiesOf } from './held-capabilities.ts'
import type { Revocations } from './revocations.ts'

const KEY = /^soma_([0-9a-f]{24})_([A-Za-z0-9_-]{43})$/

export function looksLikeApiKey(text: string): boolean {
  return text.startsWith('soma_')
}

interface Row {
  tenant: string
  secret: Buffer
  capabilities: string[]
  within: string[][]
  holder: string | null
  /** What the holder has now; null for one that is not kept here, such as somebody who signs in at another issuer. */
  roles: string[] | null
  ownRoles: Pick<Role, 'name' | 'capabilities'>[] | null
  isUseNews: boolean
}

/**
 * The principal that the key stands for, by what its holder may at this moment. One query; a revoked key is refused from the next request
 * on.
 * @throws `unauthenticated`, in the same words whatever is wrong; `dependency_unavailable` when nobody can tell
 */
export async function verifyApiKey(
  { sql, revocations }: { sql: Sql; revocations: Pick<Revocations, 'isShutOut'> },
  key: string,
): Promise<Principal> {
  const [, id, secret] = KEY.exec(key) ?? []
  if (!id || !secret) throw refused()
  // The key says which tenant it is of, so this one look goes beyond it.
  const { rows } = await sql.platform.query<Row>(
    `select k.tenant, k.secret_sha256 as secret, k.capabilities, k.within, k.holder, h.roles,
       (select json_agg(r) from identity.roles r where r.tenant = k.tenant and r.name = any(h.roles)) as "ownRoles",
       k.last_used_at is null or k.last_used_at < now() - interval '1 minute' as "isUseNews"
     from identity.api_keys k left join lateral (
       select roles from identity.users where tenant = k.tenant and id = substr(k.holder, 6) and k.holder like 'user:%'
       union all
       select roles from identity.service_accounts where tenant = k.tenant and id = substr(k.holder, 9) and k.holder like 'account:%'
     ) h on true
     where k.id = $1 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`,
    [id],
  )
  const [row] = rows
  const isRight = timingSafeEqual(row?.secret ?? Buffer.alloc(32), digestOfSecret(secret))
  if (!row || !isRight || (row.holder && (await revocations.isShutOut(row.tenant, row.holder)))) throw refused()
  if (row.isUseNews) await sql.platform.query('update identity.api_keys set last_used_at = now() where id = $1', [id])
  return principalOf(id, row)
}

/** A service account's key stands for the account; any other for itself, within what its holder may. */
function principalOf(id: string, { tenant, capabilities, within, holder, roles, ownRoles }: Row): Principal {
  const held = roles && capabilitiesOf(roles, ownRoles ?? [])
  if (holder?.startsWith('account:'))
    return { id: holder, kind: 'service', tenant, capabilities: held ?? [], within: [...within, capabilities] }
  return {
    ...{ id: `key:${id}`, kind: 'service', tenant, capabilities },
    within: held ? [...within, held] : within,
    ...(holder ? { onBehalfOf: holder } : {}),
  }
}

function refused(): SomaError {
  return new SomaError('unauthenticated', 'The API key is unknown, expired or revoked.')
}
