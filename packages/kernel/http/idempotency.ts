import { randomUUID } from 'node:crypto'
import type { Migration, Sql } from '@soma/ports/sql/port'

export interface StoredAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

export type Begun =
  /** Nobody used the key: go on, and `finish` or `release` with the token. */
  | { state: 'fresh'; token: string }
  | { state: 'in_progress'; retryAfterSeconds: number }
  | { state: 'answered'; answer: StoredAnswer }
  /** The key was used with another request. */
  | { state: 'reused' }

/** Remembers what was answered under an Idempotency-Key, so that a request sent twice happens once. */
export interface IdempotencyStore {
  begin(tenant: string, key: string, requestDigest: string): Promise<Begun>
  finish(tenant: string, key: string, token: string, answer: StoredAnswer): Promise<void>
  /** Forgets the key: the request did nothing, so it may be tried again. */
  release(tenant: string, key: string, token: string): Promise<void>
  /** Returns how many keys were too old. */
  deleteExpired(): Promise<number>
}

export const IDEMPOTENCY_SCHEMA = 'http'
export const IDEMPOTENCY_MIGRATIONS: readonly Migration[] = [
  {
    name: '001-idempotency-keys',
    up: `create table idempotency_keys (
      tenant text not null,
      key text not null,
      digest text not null,
      token uuid not null,
      status int,
      headers jsonb,
      body text,
      locked_until timestamptz not null,
      expires_at timestamptz not null,
      primary key (tenant, key)
    );
    create index on idempotency_keys (expires_at)`,
  },
]

interface Row {
  digest: string
  status: number | null
  headers: Record<string, string> | null
  body: string | null
  locked_seconds: number
}

export interface IdempotencyOptions {
  /** How long answers are kept. Default 24 hours. */
  keepSeconds?: number
  /** After this long without an answer the first request counts as crashed, and the same request may run again. Default 120. */
  lockSeconds?: number
}

/** The store on PostgreSQL. Applies its migrations. */
export async function createIdempotencyStore(sql: Sql, options: IdempotencyOptions = {}): Promise<IdempotencyStore> {
  const { keepSeconds = 86_400, lockSeconds = 120 } = options
  await sql.migrate(IDEMPOTENCY_SCHEMA, IDEMPOTENCY_MIGRATIONS)

  async function begin(tenant: string, key: string, digest: string, token: string): Promise<Begun | undefined> {
    const own = sql.tenant(tenant)
    const taken = await own.query(
      `insert into http.idempotency_keys as k (tenant, key, digest, token, locked_until, expires_at)
       values ($1, $2, $3, $4, now() + make_interval(secs => $5), now() + make_interval(secs => $6))
       on conflict (tenant, key) do update set digest = excluded.digest, token = excluded.token, status = null, headers = null,
         body = null, locked_until = excluded.locked_until, expires_at = excluded.expires_at
       where k.expires_at <= now() or (k.status is null and k.locked_until <= now() and k.digest = excluded.digest)
       returning 1`,
      [tenant, key, digest, token, lockSeconds, keepSeconds],
    )
    if (taken.rows.length > 0) return { state: 'fresh', token }
    const { rows } = await own.query<Row>(
      `select digest, status, headers, body, greatest(1, ceil(extract(epoch from locked_until - now())))::int as locked_seconds
       from http.idempotency_keys where tenant = $1 and key = $2`,
      [tenant, key],
    )
    return rows[0] && asBegun(rows[0], digest)
  }

  return {
    begin: async (tenant, key, digest) => {
      const token = randomUUID()
      // The other request may have released the key between our two statements; then it is ours.
      return (
        (await begin(tenant, key, digest, token)) ??
        (await begin(tenant, key, digest, token)) ?? { state: 'in_progress', retryAfterSeconds: 1 }
      )
    },
    finish: async (tenant, key, token, answer) => {
      await sql
        .tenant(tenant)
        .query('update http.idempotency_keys set status = $4, headers = $5, body = $6 where tenant = $1 and key = $2 and token = $3', [
          tenant,
          key,
          token,
          answer.status,
          JSON.stringify(answer.headers),
          answer.body,
        ])
    },
    release: async (tenant, key, token) => {
      await sql
        .tenant(tenant)
        .query('delete from http.idempotency_keys where tenant = $1 and key = $2 and token = $3', [tenant, key, token])
    },
    deleteExpired: async () => (await sql.platform.query('delete from http.idempotency_keys where expires_at <= now()')).rowCount ?? 0,
  }
}

function asBegun(row: Row, digest: string): Begun {
  if (row.digest !== digest) return { state: 'reused' }
  if (row.status === null) return { state: 'in_progress', retryAfterSeconds: row.locked_seconds }
  return { state: 'answered', answer: { status: row.status, headers: row.headers ?? {}, body: row.body ?? '' } }
}
