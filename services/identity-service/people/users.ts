import { randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { LONGEST_TOKEN_SECONDS, type Revocations } from '@soma/kernel/auth/revocations'
import type { Sql, Statements } from '@soma/ports/sql/port'
import { refusalCode, type WithBetterAuth } from './better-auth.ts'
import { endSessions, innerTokenOf } from './sessions.ts'

export interface User {
  id: string
  email: string
  name: string
  roles: string[]
  isActive: boolean
  hasPassword: boolean
  hasSecondFactor: boolean
  createdAt: string
  updatedAt: string
}

const COLUMNS = `u.id, u.email, u.name, u.roles, u.is_active as "isActive", u.two_factor_enabled as "hasSecondFactor", u.created_at as "createdAt",
  u.updated_at as "updatedAt", exists (select from identity.credentials c where c.user_id = u.id and c.password is not null) as "hasPassword"`
const UNIQUE_VIOLATION = '23505'

export interface NewUser {
  email: string
  name: string
  roles: readonly string[]
}

/** Adds a person, who can sign in once there is a password or a passkey. @throws `conflict` when the tenant has that address already */
export async function addUser(transaction: Statements, { email, name, roles }: NewUser): Promise<User> {
  const { rows } = await transaction
    .query(`insert into identity.users as u (id, email, name, roles, email_verified) values ($1, $2, $3, $4, true) returning ${COLUMNS}`, [
      randomUUID(),
      email.toLowerCase(),
      name,
      [...roles],
    ])
    .catch((cause) => {
      if (cause.code !== UNIQUE_VIOLATION) throw cause
      throw new SomaError('conflict', `There is a user with the address ${email} already.`, { email }, { cause })
    })
  return asUser(rows[0])
}

/** @throws `not_found` */
export async function findUser(sql: Sql, tenant: string, id: string): Promise<User> {
  const { rows } = await sql.tenant(tenant).query(`select ${COLUMNS} from identity.users u where u.id = $1`, [id])
  if (rows[0]) return asUser(rows[0])
  throw new SomaError('not_found', `There is no user ${id}.`, { id })
}

/** Users by id, after the one given. */
export async function listUsers(
  sql: Sql,
  tenant: string,
  { afterId, limit, email }: { afterId?: string; limit: number; email?: string },
): Promise<User[]> {
  const { rows } = await sql
    .tenant(tenant)
    .query(`select ${COLUMNS} from identity.users u where u.id > $1 and ($3::text is null or u.email = $3) order by u.id limit $2`, [
      afterId ?? '',
      limit,
      email?.toLowerCase() ?? null,
    ])
  return rows.map(asUser)
}

interface Parts {
  sql: Sql
  revocations: Revocations
}

/**
 * Changes a person. Other roles hold from the next request on, as every token from before is refused; who is no longer active is out at
 * once, with every session, token and API key.
 * @throws `not_found`; `conflict` for an address that another one has
 */
export async function changeUser(
  parts: Parts,
  tenant: string,
  id: string,
  change: Partial<Pick<User, 'email' | 'name' | 'roles' | 'isActive'>>,
): Promise<User> {
  const { email, name, roles, isActive } = change
  if (isActive === false) await shutOut(parts, tenant, id)
  const { rows } = await parts.sql
    .tenant(tenant)
    .query(
      `update identity.users u set email = coalesce($2, email), name = coalesce($3, name), roles = coalesce($4, roles),
           is_active = coalesce($5, is_active), updated_at = now() where id = $1 returning ${COLUMNS}`,
      [id, email?.toLowerCase() ?? null, name ?? null, roles ?? null, isActive ?? null],
    )
    .catch((cause) => {
      if (cause.code !== UNIQUE_VIOLATION) throw cause
      throw new SomaError('conflict', `There is another user with the address ${email}.`, { email }, { cause })
    })
  if (!rows[0]) throw new SomaError('not_found', `There is no user ${id}.`, { id })
  if (isActive === false) await endSessions(parts, tenant, { userId: id })
  if (isActive === true) await parts.revocations.letIn(tenant, `user:${id}`)
  if (roles) await refuseEarlierTokens(parts, tenant, id)
  return asUser(rows[0])
}

/** Deletes a person and everything by which that person could come in. */
export async function deleteUser(parts: Parts, tenant: string, id: string): Promise<void> {
  await shutOut(parts, tenant, id)
  await endSessions(parts, tenant, { userId: id })
  await parts.sql.tenant(tenant).transaction(async (transaction) => {
    await transaction.query('update identity.api_keys set revoked_at = coalesce(revoked_at, now()) where holder = $1', [`user:${id}`])
    await transaction.query('delete from identity.users where id = $1', [id])
  })
}

/** First of all, so that nothing is let in while the rest is done. */
function shutOut({ revocations }: Parts, tenant: string, id: string): Promise<void> {
  return revocations.revoke({ tenant, kind: 'principal', value: `user:${id}` })
}

/** Tokens say what their bearer may, so those from before a change must not be shown any more. */
export function refuseEarlierTokens({ revocations }: Pick<Parts, 'revocations'>, tenant: string, id: string): Promise<void> {
  const until = new Date(Date.now() + LONGEST_TOKEN_SECONDS * 1000)
  return revocations.revoke({ tenant, kind: 'principal', value: `user:${id}`, issuedBefore: new Date(), until })
}

/** Gives a person a password, the first or another one. */
export async function setPassword(withBetterAuth: WithBetterAuth, tenant: string, id: string, password: string): Promise<void> {
  await withBetterAuth(tenant, async (auth) => {
    const { internalAdapter, password: passwords } = await auth.$context
    const hash = await passwords.hash(password)
    const accounts = await internalAdapter.findAccounts(id)
    if (accounts.some(({ providerId }) => providerId === 'credential')) await internalAdapter.updatePassword(id, hash)
    else await internalAdapter.linkAccount({ userId: id, providerId: 'credential', accountId: id, password: hash })
  })
}

/** Changes the own password. @throws `unauthenticated` when the present one is wrong */
export async function changePassword(
  { sql, withBetterAuth }: { sql: Sql; withBetterAuth: WithBetterAuth },
  { tenant, session }: { tenant: string; session: string },
  { current, next }: { current: string; next: string },
): Promise<void> {
  await withBetterAuth(tenant, async (auth) => {
    const headers = new Headers({ authorization: `Bearer ${await innerTokenOf(sql, tenant, session)}` })
    await auth.api.changePassword({ body: { currentPassword: current, newPassword: next }, headers }).catch((error) => {
      if (refusalCode(error) === undefined) throw error
      throw new SomaError('unauthenticated', 'The present password is wrong.', {}, { cause: error })
    })
  })
}

function asUser(row: Record<string, unknown>): User {
  const { createdAt, updatedAt } = row as { createdAt: Date; updatedAt: Date }
  return { ...(row as unknown as User), createdAt: createdAt.toISOString(), updatedAt: updatedAt.toISOString() }
}
