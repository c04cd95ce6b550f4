import { createHash, randomBytes } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Sql, Statements } from '@soma/ports/sql/port'
import { assertMayGive } from './held-capabilities.ts'

export interface ApiKey {
  id: string
  tenant: string
  name: string
  capabilities: string[]
  /** The user or service account by whose rights the key is bound, and with whom it ends. Null for one that the platform made. */
  holder: string | null
  createdBy: string
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
  /** To the minute. */
  lastUsedAt: string | null
  /** The key that it took the place of. */
  replaces: string | null
}

export interface ApiKeyRequest {
  tenant: string
  name: string
  capabilities: readonly string[]
  expiresAt?: Date
  /** A service account, which the key then stands for. Without it the key stands for itself, bound by the rights of who made it. */
  account?: string
}

const COLUMNS = `id, tenant, name, capabilities, holder, created_by as "createdBy", created_at as "createdAt", expires_at as "expiresAt",
  revoked_at as "revokedAt", last_used_at as "lastUsedAt", replaces`

/** A key that was made. It is shown this once: only the digest of its secret is kept. */
export interface MadeKey {
  key: string
  record: ApiKey
}

/**
 * Makes a key.
 * @param issuer who gives it, and so can give no more than it holds; `platform` for the first administrator's at first start
 * @throws `forbidden` that names the capability the issuer lacks; `invalid_input` when it would be expired at once
 */
export async function issueApiKey(sql: Sql, request: ApiKeyRequest, issuer: Principal | 'platform'): Promise<MadeKey> {
  if (issuer !== 'platform') assertMayGive(issuer, request.tenant, request.capabilities)
  if (request.expiresAt && request.expiresAt.getTime() <= Date.now())
    throw new SomaError('invalid_input', `The key would expire at ${request.expiresAt.toISOString()}, which is past.`)
  const { id, key, digest } = newSecret()
  const createdBy = issuer === 'platform' ? 'platform' : issuer.id
  const rows = await queryAs(
    sql,
    request.tenant,
    // A key that makes a key hands on whose it is.
    `insert into identity.api_keys (id, tenant, name, secret_sha256, capabilities, within, created_by, expires_at, holder)
     values ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, (select holder from identity.api_keys where 'key:' || id = $7))) returning ${COLUMNS}`,
    [
      id,
      request.tenant,
      request.name,
      digest,
      [...request.capabilities],
      JSON.stringify(issuer === 'platform' ? [] : issuer.within),
      createdBy,
      request.expiresAt ?? null,
      request.account ? `account:${request.account}` : /^(platform|key:)/.test(createdBy) ? null : createdBy,
    ],
  )
  return { key, record: asApiKey(rows[0] ?? {}) }
}

/**
 * Makes a key that may what the old one may, for as long as that one was to live. The old one goes on for a while, so that whoever uses
 * it can be told the new one without a gap.
 * @throws `not_found`; `conflict` for a key that has ended or was rotated before; `forbidden` when it may more than who asks
 */
export async function rotateApiKey(
  sql: Sql,
  { id, overlapSeconds }: { id: string; overlapSeconds: number },
  by: Principal,
): Promise<MadeKey> {
  const { tenant } = by
  const made = newSecret()
  return sql.tenant(tenant).transaction(async (transaction) => {
    const old = await lockKey(transaction, id)
    if (by.id !== `key:${id}`) assertMayGive(by, tenant, old.capabilities)
    const { rows } = await transaction.query(
      `insert into identity.api_keys (id, tenant, name, secret_sha256, capabilities, within, created_by, expires_at, holder, replaces)
       select $2, tenant, name, $3, capabilities, within, $4, now() + (expires_at - created_at), holder, id from identity.api_keys where id = $1
       returning ${COLUMNS}`,
      [id, made.id, made.digest, by.id],
    )
    await transaction.query(`update identity.api_keys set expires_at = least(expires_at, now() + $2 * interval '1 second') where id = $1`, [
      id,
      overlapSeconds,
    ])
    return { key: made.key, record: asApiKey(rows[0]) }
  })
}

async function lockKey(transaction: Statements, id: string): Promise<ApiKey> {
  const { rows } = await transaction.query(
    `select ${COLUMNS}, (select s.id from identity.api_keys s where s.replaces = k.id) as successor,
       revoked_at is not null or coalesce(expires_at <= now(), false) as "isOver" from identity.api_keys k where id = $1 for update`,
    [id],
  )
  const [row] = rows
  if (!row) throw notFound(id)
  if (row.successor)
    throw new SomaError('conflict', `The API key ${id} was rotated before, into ${row.successor}.`, { id, successor: row.successor })
  if (row.isOver) throw new SomaError('conflict', `The API key ${id} is expired or revoked. Make a new one.`, { id })
  return asApiKey(row)
}

/** @throws `not_found` */
export async function revokeApiKey(sql: Sql, tenant: string, id: string): Promise<ApiKey> {
  const rows = await queryAs(
    sql,
    tenant,
    `update identity.api_keys set revoked_at = coalesce(revoked_at, now()) where tenant = $1 and id = $2 returning ${COLUMNS}`,
    [tenant, id],
  )
  if (rows[0]) return asApiKey(rows[0])
  throw notFound(id)
}

/** Keys of a tenant by id, after the one given; only those of a holder, if one is named. */
export async function listApiKeys(
  sql: Sql,
  tenant: string,
  options: { afterId?: string; limit?: number; holder?: string } = {},
): Promise<ApiKey[]> {
  const rows = await queryAs(
    sql,
    tenant,
    `select ${COLUMNS} from identity.api_keys where tenant = $1 and id > $2 and ($4::text is null or holder = $4) order by id limit $3`,
    [tenant, options.afterId ?? '', options.limit ?? 50, options.holder ?? null],
  )
  return rows.map(asApiKey)
}

/** Within the tenant's row-level security. */
async function queryAs(sql: Sql, tenant: string, text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
  return (await sql.tenant(tenant).query(text, values)).rows
}

function newSecret(): { id: string; key: string; digest: Buffer } {
  const id = randomBytes(12).toString('hex')
  const secret = randomBytes(32).toString('base64url')
  return { id, key: `soma_${id}_${secret}`, digest: digestOfSecret(secret) }
}

export function digestOfSecret(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function notFound(id: string): SomaError {
  return new SomaError('not_found', `There is no API key ${id}.`, { id })
}

function asApiKey(row: Record<string, unknown>): ApiKey {
  const time = (value: unknown) => (value instanceof Date ? value.toISOString() : null)
  const { id, tenant, name, capabilities, holder, createdBy, replaces } = row as unknown as ApiKey
  return {
    ...{ id, tenant, name, capabilities, holder, createdBy, replaces },
    createdAt: time(row.createdAt) ?? '',
    expiresAt: time(row.expiresAt),
    revokedAt: time(row.revokedAt),
    lastUsedAt: time(row.lastUsedAt),
  }
}
