import { SomaError } from '@soma/contracts/errors'
import type { Sql } from '@soma/ports/sql/port'
import { accountSubject, addressSubject, beginAttempt, forgetFailures, personSubject, takeBack } from './attempts.ts'
import { type BetterAuth, CLIENT_ADDRESS, refusalCode, type WithBetterAuth } from './better-auth.ts'
import { claimCode, type Factor } from './second-factor.ts'
import { noteSecondFactor, type Session, sessionOfInnerToken } from './sessions.ts'

/** From where somebody signs in. */
export interface Client {
  address: string
  userAgent?: string
}

/** A session, or that a second factor is asked for; the challenge goes along with its answer. */
export type SignInOutcome = { session: Session } | { challenge: string; userId: string }

interface Parts {
  sql: Sql
  withBetterAuth: WithBetterAuth
}

/**
 * Signs in with a password. Unknown, disabled, wrong: the answer is the same, and takes as long.
 * @throws `unauthenticated`; `rate_limited` after failures, for the account and for the address
 */
export async function signInWithPassword(
  { sql, withBetterAuth }: Parts,
  tenant: string,
  { email, password }: { email: string; password: string },
  client: Client,
): Promise<SignInOutcome> {
  const [account, address] = [accountSubject(tenant, email), addressSubject(client.address)]
  await beginAttempt(sql, address)
  await beginAttempt(sql, account)
  const outcome = await withBetterAuth(tenant, async (auth): Promise<SignInOutcome> => {
    const { response, headers } = await auth.api.signInEmail({ body: { email, password }, headers: headersOf(client), returnHeaders: true })
    if ('token' in response && response.token) return { session: await sessionOfInnerToken(sql, tenant, response.token) }
    return challengeIn(auth, headers)
  }).catch(refuse)
  await Promise.all([forgetFailures(sql, account), takeBack(sql, address)])
  return outcome
}

/**
 * Answers a challenge, which opens the session.
 * @throws `unauthenticated` for a wrong or used code, and for a challenge that has expired; `rate_limited`
 */
export async function answerChallenge(
  { sql, withBetterAuth }: Parts,
  tenant: string,
  challenge: string,
  factor: Factor,
  client: Client,
): Promise<Session> {
  const address = addressSubject(client.address)
  await beginAttempt(sql, address)
  const session = await withBetterAuth(tenant, async (auth) => {
    const userId = await userOfChallenge(auth, challenge)
    if (!userId) throw refused()
    const person = personSubject(tenant, userId)
    await beginAttempt(sql, person)
    await claimCode(sql, tenant, userId, factor)
    const { name } = (await auth.$context).createAuthCookie('two_factor')
    const headers = headersOf(client)
    headers.set('cookie', `${name}=${encodeURIComponent(challenge)}`)
    const { token } =
      'code' in factor
        ? await auth.api.verifyTOTP({ body: { code: factor.code }, headers })
        : await auth.api.verifyBackupCode({ body: { code: factor.recoveryCode }, headers })
    await forgetFailures(sql, person)
    return sessionOfInnerToken(sql, tenant, token as string)
  }).catch(refuse)
  await Promise.all([takeBack(sql, address), noteSecondFactor(sql, tenant, session.id)])
  return { ...session, factorAt: new Date().toISOString() }
}

/** Opens a session for somebody who showed who they are in another way than by a password. */
export async function openSession({ sql, withBetterAuth }: Parts, tenant: string, userId: string, client: Client): Promise<Session> {
  return withBetterAuth(tenant, async (auth) => {
    const { internalAdapter } = await auth.$context
    const made = await internalAdapter.createSession(userId, false, { ipAddress: client.address, userAgent: client.userAgent ?? '' })
    if (!made) throw refused()
    return sessionOfInnerToken(sql, tenant, made.token)
  })
}

/** better-auth hands the challenge out as a cookie; we hand on what is in it. */
async function challengeIn(auth: BetterAuth, headers: Headers): Promise<SignInOutcome> {
  const { name } = (await auth.$context).createAuthCookie('two_factor')
  const cookie = headers.getSetCookie().find((each) => each.startsWith(`${name}=`))
  const challenge = decodeURIComponent(cookie?.slice(name.length + 1).split(';')[0] ?? '')
  const userId = await userOfChallenge(auth, challenge)
  if (!userId) throw new SomaError('internal', 'A second factor is needed, but no challenge was made.')
  return { challenge, userId }
}

/** Whom a challenge is for, as far as it says; whether it is genuine better-auth looks at its signature. */
async function userOfChallenge(auth: BetterAuth, challenge: string): Promise<string | undefined> {
  const { internalAdapter } = await auth.$context
  const [identifier = ''] = challenge.split('.')
  return (await internalAdapter.findVerificationValue(identifier))?.value
}

function headersOf({ address, userAgent }: Client): Headers {
  return new Headers({ [CLIENT_ADDRESS]: address, ...(userAgent ? { 'user-agent': userAgent } : {}) })
}

/** Whatever better-auth has against it, the answer is the same. */
function refuse(error: unknown): never {
  throw refusalCode(error) === undefined ? error : refused(error)
}

export function refused(cause?: unknown): SomaError {
  return new SomaError(
    'unauthenticated',
    'That is not how anybody signs in here: the address, the password or the code is wrong, or was used before.',
    {},
    { cause },
  )
}
