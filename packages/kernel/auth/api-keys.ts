import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { holds, type Principal } from '@soma/contracts/tenant'
import type { Migration, Sql } from '@soma/ports/sql/port'

/** Part of the schema `identity`, which identity-service owns and applies. */
export const API_KEY_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-api-keys',
    up: `create table api_keys (
      id text primary key,
      tenant text not null,
      name text not null,
      secret_sha256 bytea not null,
      capabilities text[] not null,
      within jsonb not null,
      created_by text not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      revoked_at timestamptz,
      last_used_at timestamptz
    );
    create index on api_keys (tenant, id)`,
  },
]

export interface ApiKey {
  id: string
  tenant: string
  name: string
  capabilities: string[]
  createdBy: string
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
  /** To the minute. */
  lastUsedAt: string | null
}

export interface ApiKeyRequest {
  tenant: string
  name: string
  capabilities: readonly string[]
  expiresAt?: Date
}

const KEY = /^soma_([0-9a-f]{24})_([A-Za-z0-9_-]{43})$/
const COLUMNS = `id, tenant, name, capabilities, created_by as "createdBy", created_at as "createdAt", expires_at as "expiresAt",
  revoked_at as "revokedAt", last_used_at as "lastUsedAt"`

export function looksLikeApiKey(text: string): boolean {
  return text.startsWith('soma_')
}

/**
 * Makes a key. `key` is shown this once: only the digest of its secret is kept.
 * @param issuer who gives it, and so can give no more than it holds; `platform` for the first administrator's at first start
 * @throws `forbidden` that names the capability the issuer lacks; `invalid_input` when it would be expired at once
 */
export async function issueApiKey(
  sql: Sql,
  request: ApiKeyRequest,
  issuer: Principal | 'platform',
): Promise<{ key: string; record: ApiKey }> {
  if (issuer !== 'platform') assertMayGive(issuer, request)
  if (request.expiresAt && request.expiresAt.getTime() <= Date.now())
    throw new SomaError('invalid_input', `The key would expire at ${request.expiresAt.toISOString()}, which is past.`)
  const id = randomBytes(12).toString('hex')
  const secret = randomBytes(32).toString('base64url')
  const rows = await queryAs(
    sql,
    request.tenant,
    `insert into identity.api_keys (id, tenant, name, secret_sha256, capabilities, within, created_by, expires_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8) returning ${COLUMNS}`,
    [
      id,
      request.tenant,
      request.name,
      digestOf(secret),
      [...request.capabilities],
      JSON.stringify(issuer === 'platform' ? [] : issuer.within),
      issuer === 'platform' ? 'platform' : issuer.id,
      request.expiresAt ?? null,
    ],
  )
  return { key: `soma_${id}_${secret}`, record: asApiKey(rows[0] ?? {}) }
}

/**
 * The principal that the key stands for. One query; a revoked key is refused from the next request on.
 * @throws `unauthenticated`, in the same words whatever is wrong
 */
export async function verifyApiKey(sql: Sql, key: string): Promise<Principal> {
  const [, id, secret] = KEY.exec(key) ?? []
  if (!id || !secret) throw refused()
  const { rows } = await sql.pool.query(
    `select tenant, secret_sha256, capabilities, within, last_used_at is null or last_used_at < now() - interval '1 minute' as "isUseNews"
     from identity.api_keys where id = $1 and revoked_at is null and (expires_at is null or expires_at > now())`,
    [id],
  )
  const [row] = rows
  const isRight = timingSafeEqual(row?.secret_sha256 ?? Buffer.alloc(32), digestOf(secret))
  if (!row || !isRight) throw refused()
  if (row.isUseNews) await sql.pool.query('update identity.api_keys set last_used_at = now() where id = $1', [id])
  return { id: `key:${id}`, kind: 'service', tenant: row.tenant, capabilities: row.capabilities, within: row.within }
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
  throw new SomaError('not_found', `There is no API key ${id}.`, { id })
}

/** Keys of a tenant by id, after the one given. */
export async function listApiKeys(sql: Sql, tenant: string, options: { afterId?: string; limit?: number } = {}): Promise<ApiKey[]> {
  const rows = await queryAs(sql, tenant, `select ${COLUMNS} from identity.api_keys where tenant = $1 and id > $2 order by id limit $3`, [
    tenant,
    options.afterId ?? '',
    options.limit ?? 50,
  ])
  return rows.map(asApiKey)
}

/** Within the tenant's row-level security. Only `verifyApiKey` looks beyond, as it does not know the tenant yet. */
async function queryAs(sql: Sql, tenant: string, text: string, values: unknown[]): Promise<Record<string, unknown>[]> {
  return (await sql.tenant(tenant, (transaction) => transaction.query(text, values))).rows
}

function assertMayGive(issuer: Principal, request: ApiKeyRequest): void {
  if (issuer.tenant !== request.tenant)
    throw new SomaError('forbidden', `${issuer.id} can make keys of its own tenant ${issuer.tenant} only, not of ${request.tenant}.`)
  const lacking = request.capabilities.find((capability) => !holds(issuer, capability))
  if (lacking !== undefined)
    throw new SomaError('forbidden', `${issuer.id} can not give the capability ${lacking}, which it does not hold itself.`, {
      capability: lacking,
    })
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function refused(): SomaError {
  return new SomaError('unauthenticated', 'The API key is unknown, expired or revoked.')
}

function asApiKey(row: Record<string, unknown>): ApiKey {
  const time = (value: unknown) => (value instanceof Date ? value.toISOString() : null)
  return {
    ...(row as unknown as ApiKey),
    createdAt: time(row.createdAt) ?? '',
    expiresAt: time(row.expiresAt),
    revokedAt: time(row.revokedAt),
    lastUsedAt: time(row.lastUsedAt),
  }
}
