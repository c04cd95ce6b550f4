import { ERROR_CODES, type ErrorCode, SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import { AccountLogin } from './login.ts'

const SignedIn = z.object({ accessToken: z.string(), expiresInSeconds: z.number(), refreshToken: z.string(), tenant: z.string() })
const Challenged = z.object({ challenge: z.string() })

/** What stands for a second factor: six digits of the app, or a code that was noted for emergencies. */
export type ShownFactor = { code: string } | { recoveryCode: string }

export function factorOf(text: string): ShownFactor {
  const typed = text.trim()
  return /^\d{6}$/.test(typed) ? { code: typed } : { recoveryCode: typed }
}

/**
 * Signs in with an account of the platform.
 * @param askFactor is asked when the account has a second factor
 * @throws what the server answers
 */
export async function signInWithAccount(
  server: string,
  { tenant, email, password }: { tenant?: string; email: string; password: string },
  askFactor: () => Promise<ShownFactor>,
): Promise<AccountLogin> {
  const answer = await post(server, '/v1/auth/sign-in', { tenant, email, password })
  const challenged = Challenged.safeParse(answer)
  if (!challenged.success) return asLogin(answer)
  return asLogin(await post(server, '/v1/auth/sign-in/factor', { tenant, challenge: challenged.data.challenge, ...(await askFactor()) }))
}

/** Uses a link by which somebody becomes a user, or sets another password. */
export async function acceptInvitation(server: string, body: { token: string; name?: string; password: string }): Promise<AccountLogin> {
  return asLogin(await post(server, '/v1/invitations/accept', body))
}

/** New tokens of the same session; undefined when it has ended. */
export async function renewAccountLogin(server: string, { tenant, refreshToken }: AccountLogin): Promise<AccountLogin | undefined> {
  try {
    return asLogin(await post(server, '/v1/auth/refresh', { tenant, refreshToken }))
  } catch (error) {
    if (SomaError.is(error, 'unauthenticated')) return undefined
    throw error
  }
}

/** Tokens of the same session that say that a second factor was shown just now. */
export async function stepUp(server: string, { accessToken }: AccountLogin, factor: ShownFactor): Promise<AccountLogin> {
  return asLogin(await post(server, '/v1/auth/step-up', factor, accessToken))
}

/** Ends the session: its tokens are refused. */
export async function endAccountLogin(server: string, login: AccountLogin): Promise<void> {
  // An access token that has expired can not say it; the session may well go on.
  const renewed = await renewAccountLogin(server, login)
  if (renewed) await post(server, '/v1/auth/sign-out', {}, renewed.accessToken)
}

export function asLogin(answer: unknown): AccountLogin {
  const { accessToken, expiresInSeconds, refreshToken, tenant } = SignedIn.parse(answer)
  return AccountLogin.parse({ tenant, accessToken, refreshToken, expiresAt: Date.now() + expiresInSeconds * 1000 })
}

async function post(server: string, path: string, body: object, token?: string): Promise<unknown> {
  const answer = await fetch(new URL(path, server), {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(30_000),
  }).catch((cause: Error) => {
    throw new SomaError('dependency_unavailable', `The platform at ${server} can not be reached.`, { url: server }, { cause })
  })
  const said = (await answer.json().catch(() => ({}))) as { code?: string; detail?: string; details?: Record<string, unknown> }
  if (answer.ok) return said
  const isKnown = said.code !== undefined && Object.hasOwn(ERROR_CODES, said.code)
  throw new SomaError(
    isKnown ? (said.code as ErrorCode) : 'dependency_unavailable',
    said.detail ?? `${server} answered with ${answer.status}.`,
    said.details,
  )
}
