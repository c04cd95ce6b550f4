import { createHash, randomBytes } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { TenantId } from '@soma/contracts/tenant'
import type { Sql, Statements } from '@soma/ports/sql/port'
import { addUser, type User } from './users.ts'

/** `join`: somebody becomes a user. `password`: a user who forgot the password gets another one. */
export type InvitationPurpose = 'join' | 'password'

export interface Invitation {
  id: string
  purpose: InvitationPurpose
  email: string
  roles: string[]
  userId: string | null
  createdBy: string
  createdAt: string
  expiresAt: string
  usedAt: string | null
  revokedAt: string | null
}

/** What is sent to whom it is for. It is known this once: only the digest of its secret is kept. */
export interface InvitationLink {
  invitation: Invitation
  token: string
}

const COLUMNS = `id, purpose, email, roles, user_id as "userId", created_by as "createdBy", created_at as "createdAt",
  expires_at as "expiresAt", used_at as "usedAt", revoked_at as "revokedAt"`
const IS_OPEN = 'used_at is null and revoked_at is null'

export interface InvitationRequest {
  purpose: InvitationPurpose
  email: string
  roles: readonly string[]
  userId?: string
  createdBy: string
  hours: number
}

/** @throws `conflict` when somebody with that address is a user already */
export async function invite(sql: Sql, tenant: string, request: InvitationRequest): Promise<InvitationLink> {
  const email = request.email.toLowerCase()
  const id = randomBytes(12).toString('hex')
  const secret = newSecret()
  const invitation = await sql.tenant(tenant).transaction(async (transaction) => {
    if (request.purpose === 'join') await assertUnknown(transaction, email)
    const { rows } = await transaction.query(
      `insert into identity.invitations (tenant, id, secret_sha256, purpose, email, roles, user_id, created_by, expires_at)
       values ($1, $2, $3, $4, $5, $6, $7, $8, now() + $9 * interval '1 hour') returning ${COLUMNS}`,
      [tenant, id, digestOf(secret), request.purpose, email, [...request.roles], request.userId ?? null, request.createdBy, request.hours],
    )
    return asInvitation(rows[0])
  })
  return { invitation, token: `${tenant}.${id}.${secret}` }
}

async function assertUnknown(transaction: Statements, email: string): Promise<void> {
  const { rowCount } = await transaction.query('select 1 from identity.users where email = $1', [email])
  if (rowCount) throw new SomaError('conflict', `There is a user with the address ${email} already.`, { email })
}

/**
 * A new link of an open invitation, for as long as the first was to live; the old one works no more.
 * @param mayGive throws when who asks may not give the roles of the invitation
 * @throws `not_found`
 */
export async function renewLink(
  sql: Sql,
  tenant: string,
  id: string,
  mayGive: (roles: readonly string[]) => Promise<void>,
): Promise<InvitationLink> {
  const secret = newSecret()
  const query = async (text: string, values: unknown[]) => (await sql.tenant(tenant).query(text, values)).rows[0]
  const open = await query(`select ${COLUMNS} from identity.invitations where id = $1 and ${IS_OPEN}`, [id])
  if (!open) throw notFound(id)
  await mayGive(open.roles)
  const renewed = await query(
    `update identity.invitations set secret_sha256 = $2, expires_at = now() + (expires_at - created_at), created_at = now()
     where id = $1 and ${IS_OPEN} returning ${COLUMNS}`,
    [id, digestOf(secret)],
  )
  if (renewed) return { invitation: asInvitation(renewed), token: `${tenant}.${id}.${secret}` }
  throw notFound(id)
}

/** @throws `not_found` for one that was used or revoked */
export async function revokeInvitation(sql: Sql, tenant: string, id: string): Promise<Invitation> {
  const { rows } = await sql
    .tenant(tenant)
    .query(`update identity.invitations set revoked_at = now() where id = $1 and ${IS_OPEN} returning ${COLUMNS}`, [id])
  if (rows[0]) return asInvitation(rows[0])
  throw notFound(id)
}

/** Invitations by id, after the one given. */
export async function listInvitations(
  sql: Sql,
  tenant: string,
  { afterId, limit }: { afterId?: string; limit: number },
): Promise<Invitation[]> {
  const { rows } = await sql
    .tenant(tenant)
    .query(`select ${COLUMNS} from identity.invitations where id > $1 order by id limit $2`, [afterId ?? '', limit])
  return rows.map(asInvitation)
}

/** The tenant that a link is of; undefined for what is none. */
export function tenantOfLink(token: string): string | undefined {
  return TenantId.safeParse(token.split('.')[0]).data
}

/**
 * Uses a link up: whoever it was for is a user now, or may set another password. Nothing is used up when that fails.
 * @returns the user, and what the link was for
 * @throws `unauthenticated`, in the same words whatever is wrong with it
 */
export async function acceptInvitation(
  sql: Sql,
  token: string,
  name: string | undefined,
): Promise<{ tenant: string; user: Pick<User, 'id' | 'email'>; purpose: InvitationPurpose }> {
  const tenant = tenantOfLink(token)
  if (!tenant) throw noLink()
  const [, id = '', secret = ''] = token.split('.')
  return sql.tenant(tenant).transaction(async (transaction) => {
    const { rows } = await transaction.query(
      `update identity.invitations set used_at = now() where id = $1 and secret_sha256 = $2 and ${IS_OPEN} and expires_at > now() returning ${COLUMNS}`,
      [id, digestOf(secret)],
    )
    if (!rows[0]) throw noLink()
    const { purpose, email, roles, userId } = asInvitation(rows[0])
    if (purpose === 'password') return { tenant, user: { id: userId as string, email }, purpose }
    return { tenant, user: await addUser(transaction, { email, name: name ?? email, roles }), purpose }
  })
}

function newSecret(): string {
  return randomBytes(32).toString('base64url')
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}

function noLink(): SomaError {
  return new SomaError('unauthenticated', 'The link does not work: it was used, revoked, is too old, or never was one. Ask for another.')
}

function notFound(id: string): SomaError {
  return new SomaError('not_found', `There is no open invitation ${id}.`, { id })
}

function asInvitation(row: Record<string, unknown>): Invitation {
  const { id, purpose, email, roles, userId, createdBy } = row as unknown as Invitation
  const time = (value: unknown) => (value instanceof Date ? value.toISOString() : null)
  return {
    ...{ id, purpose, email, roles, userId, createdBy },
    createdAt: time(row.createdAt) ?? '',
    expiresAt: time(row.expiresAt) ?? '',
    usedAt: time(row.usedAt),
    revokedAt: time(row.revokedAt),
  }
}
