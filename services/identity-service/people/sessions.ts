import { createHmac, timingSafeEqual } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Role } from '@soma/contracts/roles'
import type { Principal } from '@soma/contracts/tenant'
import { capabilitiesOf } from '@soma/kernel/auth/held-capabilities'
import { LONGEST_TOKEN_SECONDS, type Revocations } from '@soma/kernel/auth/revocations'
import type { Sql } from '@soma/ports/sql/port'

/** Days after which a session ends, however much it is used. */
const LONGEST_SESSION_DAYS = 30

export interface Session {
  id: string
  userId: string
  createdAt: string
  lastUsedAt: string
  expiresAt: string
  /** When a second factor was shown in it. */
  factorAt: string | null
  address: string | null
  client: string | null
}

interface SessionRow extends Session {
  /** Whoever has it could not do anything with it without the secret: what people hold is made of both. */
  token: string
}

const COLUMNS = `id, user_id as "userId", created_at as "createdAt", updated_at as "lastUsedAt", expires_at as "expiresAt",
  factor_at as "factorAt", ip_address as address, user_agent as client`
const IS_OPEN = `expires_at > now() and created_at > now() - interval '${LONGEST_SESSION_DAYS} days'`

export interface SessionParts {
  sql: Sql
  revocations: Revocations
  secret: () => Promise<string>
}

/** The session that a person may go on with by this text; undefined when it is forged or the session has ended. */
export async function findByRefreshToken({ sql, secret }: SessionParts, tenant: string, text: string): Promise<Session | undefined> {
  const [id = '', proof = ''] = text.split('.')
  const row = await findSession(sql, tenant, id)
  const right = Buffer.from(proofOf(await secret(), row?.token ?? ''))
  const shown = Buffer.from(proof)
  return row && right.length === shown.length && timingSafeEqual(right, shown) ? asSession(row) : undefined
}

/** What a person shows to go on with the session. The database alone does not hold it. */
export async function refreshTokenOf({ sql, secret }: SessionParts, tenant: string, id: string): Promise<string> {
  const row = await findSession(sql, tenant, id)
  if (!row) throw new SomaError('unauthenticated', 'The session has ended. Sign in again.')
  return `${id}.${proofOf(await secret(), row.token)}`
}

function proofOf(secret: string, token: string): string {
  return createHmac('sha256', secret).update(`session ${token}`).digest('base64url')
}

async function findSession(sql: Sql, tenant: string, id: string): Promise<SessionRow | undefined> {
  const { rows } = await sql.tenant(tenant).query(`select ${COLUMNS}, token from identity.sessions where id = $1 and ${IS_OPEN}`, [id])
  return rows[0]
}

/** The token by which better-auth knows a session. @throws `unauthenticated` when it has ended */
export async function innerTokenOf(sql: Sql, tenant: string, id: string): Promise<string> {
  const row = await findSession(sql, tenant, id)
  if (row) return row.token
  throw new SomaError('unauthenticated', 'The session has ended. Sign in again.')
}

/** By the token that better-auth gave. */
export async function sessionOfInnerToken(sql: Sql, tenant: string, token: string): Promise<Session> {
  const { rows } = await sql.tenant(tenant).query(`select ${COLUMNS} from identity.sessions where token = $1`, [token])
  return asSession(rows[0])
}

/** Notes that a session goes on, which also keeps it from ending unused. */
export async function keepSession(sql: Sql, tenant: string, id: string, days: number): Promise<void> {
  await sql
    .tenant(tenant)
    .query(`update identity.sessions set updated_at = now(), expires_at = now() + $2 * interval '1 day' where id = $1 and ${IS_OPEN}`, [
      id,
      days,
    ])
}

export async function noteSecondFactor(sql: Sql, tenant: string, id: string): Promise<void> {
  await sql.tenant(tenant).query('update identity.sessions set factor_at = now() where id = $1', [id])
}

/**
 * Who speaks in a session, with what that person may at this moment.
 * @throws `unauthenticated` when the session has ended or the person was disabled
 */
export async function principalOfSession(sql: Sql, tenant: string, id: string): Promise<Principal> {
  const { rows } = await sql.tenant(tenant).query(
    `select u.id as "userId", u.roles, s.factor_at as "factorAt",
         (select coalesce(json_agg(r), '[]') from identity.roles r where r.name = any(u.roles)) as "ownRoles"
       from identity.sessions s join identity.users u on u.id = s.user_id where s.id = $1 and u.is_active and s.expires_at > now()`,
    [id],
  )
  const row = rows[0] as { userId: string; roles: string[]; factorAt: Date | null; ownRoles: Role[] } | undefined
  if (!row) throw new SomaError('unauthenticated', 'The session has ended. Sign in again.')
  return {
    id: `user:${row.userId}`,
    kind: 'user',
    tenant,
    capabilities: capabilitiesOf(row.roles, row.ownRoles),
    within: [],
    ...(row.factorAt ? { mfa: true, mfaAt: Math.floor(row.factorAt.getTime() / 1000) } : {}),
    session: id,
  }
}

/** Open sessions, newest first; of one person, if one is named. */
export async function listSessions(
  sql: Sql,
  tenant: string,
  { userId, after, limit }: { userId?: string; after?: { at: string; id: string }; limit: number },
): Promise<Session[]> {
  const { rows } = await sql.tenant(tenant).query(
    `select ${COLUMNS} from identity.sessions where ${IS_OPEN} and ($1::text is null or user_id = $1)
       and ($2::timestamptz is null or (date_trunc('milliseconds', created_at), id) < ($2, $3)) order by date_trunc('milliseconds', created_at) desc, id desc limit $4`,
    [userId ?? null, after?.at ?? null, after?.id ?? '', limit],
  )
  return rows.map(asSession)
}

/** Ends sessions: nobody goes on with them, and what tokens they gave are refused. @returns how many there were */
export async function endSessions(
  { sql, revocations }: Pick<SessionParts, 'sql' | 'revocations'>,
  tenant: string,
  which: { id: string } | { userId: string; except?: string },
): Promise<number> {
  const ids = 'id' in which ? [which.id] : await sessionIdsOf(sql, tenant, which.userId, which.except)
  const until = new Date(Date.now() + LONGEST_TOKEN_SECONDS * 1000)
  // Its tokens first: should we end in between, a session is left that can be ended again, and no token outlives it.
  await Promise.all(ids.map((id) => revocations.revoke({ tenant, kind: 'session', value: id, until })))
  const { rowCount } = await sql.tenant(tenant).query('delete from identity.sessions where id = any($1)', [ids])
  return rowCount ?? 0
}

async function sessionIdsOf(sql: Sql, tenant: string, userId: string, except: string | undefined): Promise<string[]> {
  const { rows } = await sql
    .tenant(tenant)
    .query('select id from identity.sessions where user_id = $1 and id is distinct from $2', [userId, except ?? null])
  return rows.map(({ id }) => id)
}

function asSession(row: object): Session {
  const { id, userId, address, client, ...times } = row as Session
  const time = (value: unknown) => (value instanceof Date ? value.toISOString() : '')
  return {
    ...{ id, userId, address: address || null, client: client || null },
    createdAt: time(times.createdAt),
    lastUsedAt: time(times.lastUsedAt),
    expiresAt: time(times.expiresAt),
    factorAt: time(times.factorAt) || null,
  }
}
