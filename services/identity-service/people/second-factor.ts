import { createHash } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Sql } from '@soma/ports/sql/port'
import { beginAttempt, forgetFailures, personSubject } from './attempts.ts'
import { refusalCode, type WithBetterAuth } from './better-auth.ts'
import { innerTokenOf, noteSecondFactor, type Session, sessionOfInnerToken } from './sessions.ts'

/** What stands for a second factor besides a passkey: a code of the authenticator app, or one of those that were noted for emergencies. */
export type Factor = { code: string } | { recoveryCode: string }

interface Parts {
  sql: Sql
  withBetterAuth: WithBetterAuth
}

/** A session by which somebody is known. */
interface Known {
  tenant: string
  userId: string
  session: string
}

/** A code is good for a minute and a half at the most; it is remembered for longer. */
const REMEMBERED = "interval '5 minutes'"

/**
 * Makes a code good for one use: whoever looks over a shoulder has nothing of it. Recovery codes are used up by themselves.
 * @throws `unauthenticated` when it was shown before
 */
export async function claimCode(sql: Sql, tenant: string, userId: string, factor: Factor): Promise<void> {
  if (!('code' in factor)) return
  const { rowCount } = await sql.tenant(tenant).query(
    `insert into identity.used_codes as u (user_id, code_sha256) values ($1, $2)
       on conflict (user_id, code_sha256) do update set used_at = now() where u.used_at < now() - ${REMEMBERED}`,
    [userId, createHash('sha256').update(factor.code).digest()],
  )
  if (rowCount !== 1) throw wrongCode()
}

/**
 * Begins with an authenticator app: what to put into it, and the codes for emergencies, both shown this once. It counts from the moment
 * that a code of it is shown.
 * @param password of accounts that have one
 * @throws `conflict` when one is there already; `unauthenticated`, `rate_limited` for a wrong password
 */
export async function beginEnrolment(
  parts: Parts,
  known: Known,
  password: string | undefined,
): Promise<{ uri: string; recoveryCodes: string[] }> {
  const enrolment = await withPassword(parts, known, (auth, headers) => auth.api.enableTwoFactor({ body: { password }, headers }))
  if (enrolment.method !== 'totp')
    throw new SomaError('internal', `better-auth began with ${enrolment.method} instead of an authenticator app.`)
  return { uri: enrolment.totpURI, recoveryCodes: enrolment.backupCodes }
}

/** New codes for emergencies; the old ones are good no more. @throws as `beginEnrolment` */
export async function renewRecoveryCodes(parts: Parts, known: Known, password: string | undefined): Promise<string[]> {
  const { backupCodes } = await withPassword(parts, known, (auth, headers) => auth.api.generateBackupCodes({ body: { password }, headers }))
  return backupCodes
}

/**
 * Shows a second factor within a session, which counts from now on as shown. The first code of a new app puts it in force.
 * @returns the session that goes on, which is another one after the first code
 * @throws `unauthenticated`, `rate_limited`
 */
export async function showFactor({ sql, withBetterAuth }: Parts, known: Known, factor: Factor): Promise<Session> {
  const { tenant, userId } = known
  const person = personSubject(tenant, userId)
  await beginAttempt(sql, person)
  const session = await withBetterAuth(tenant, async (auth) => {
    await claimCode(sql, tenant, userId, factor)
    const headers = new Headers({ authorization: `Bearer ${await innerTokenOf(sql, tenant, known.session)}` })
    if ('code' in factor) {
      const { headers: answered } = await auth.api.verifyTOTP({ body: { code: factor.code }, headers, returnHeaders: true })
      const replaced = answered.get('set-auth-token')?.split('.')[0]
      if (replaced) return sessionOfInnerToken(sql, tenant, replaced)
    } else await auth.api.verifyBackupCode({ body: { code: factor.recoveryCode }, headers })
    return sessionOfInnerToken(sql, tenant, await innerTokenOf(sql, tenant, known.session))
  }).catch((error) => {
    throw refusalCode(error) === undefined ? error : wrongCode(error)
  })
  await Promise.all([forgetFailures(sql, person), noteSecondFactor(sql, tenant, session.id)])
  return { ...session, factorAt: new Date().toISOString() }
}

/** Takes the authenticator app and the codes for emergencies away. */
export async function removeSecondFactor(sql: Sql, tenant: string, userId: string): Promise<void> {
  await sql.tenant(tenant).transaction(async (transaction) => {
    await transaction.query('delete from identity.two_factors where user_id = $1', [userId])
    await transaction.query('update identity.users set two_factor_enabled = false, updated_at = now() where id = $1', [userId])
  })
}

async function withPassword<Result>(
  { sql, withBetterAuth }: Parts,
  { tenant, userId, session }: Known,
  work: (auth: Parameters<Parameters<WithBetterAuth>[1]>[0], headers: Headers) => Promise<Result>,
): Promise<Result> {
  const person = personSubject(tenant, userId)
  await beginAttempt(sql, person)
  const result = await withBetterAuth(tenant, async (auth) =>
    work(auth, new Headers({ authorization: `Bearer ${await innerTokenOf(sql, tenant, session)}` })),
  ).catch((error) => {
    const code = refusalCode(error)
    if (code === undefined) throw error
    if (code === 'TOTP_ALREADY_ENABLED')
      throw new SomaError('conflict', 'There is a second factor already. Remove it first.', {}, { cause: error })
    if (code === 'TWO_FACTOR_NOT_ENABLED') throw new SomaError('conflict', 'There is no second factor yet.', {}, { cause: error })
    throw new SomaError('unauthenticated', 'The password is wrong, or is missing.', {}, { cause: error })
  })
  await forgetFailures(sql, person)
  return result
}

function wrongCode(cause?: unknown): SomaError {
  return new SomaError('unauthenticated', 'The code is wrong, or was used before. Wait for the next one.', {}, { cause })
}
