import { TenantId } from '@soma/contracts/tenant'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { FIRST_TENANT } from '../first-administrator.ts'
import { assertSignsInHere, type Identity, personIn, record, tokensOf } from '../identity.ts'
import { type Factor, showFactor } from '../people/second-factor.ts'
import { endSessions, findByRefreshToken, keepSession, type Session } from '../people/sessions.ts'
import { answerChallenge, type Client, refused, signInWithPassword } from '../people/sign-in.ts'

export const SignedIn = z.object({
  accessToken: z.string().describe('To be shown as "Authorization: Bearer"'),
  expiresInSeconds: z.number(),
  refreshToken: z.string().describe('Gets the next access token, until the session ends. To be kept like a password'),
  tenant: z.string(),
  userId: z.string(),
  sessionId: z.string(),
})
const Challenged = z.object({
  challenge: z.string().describe('To be sent along with the second factor, within ten minutes'),
  factors: z.array(z.enum(['code', 'recoveryCode'])),
})

const SignInMethods = z.object({
  password: z
    .object({ tenant: z.string().describe('Tenant of who names none'), minPasswordLength: z.number() })
    .nullable()
    .describe('null: people have no accounts here'),
  openIdConnect: z
    .object({
      issuer: z.string(),
      clientId: z.string().describe('Public client of the issuer, for the command line'),
      scope: z.string(),
      mfaLevels: z.array(z.string()).describe('Levels (acr) to ask the issuer for when a second factor shall be shown'),
    })
    .nullable()
    .describe('null: people do not sign in at an issuer here'),
})

const tenant = TenantId.default(FIRST_TENANT)
export const email = z.email().max(254)
/** Long enough for every password that can be typed; the least is looked at when one is set. */
const password = z.string().min(1).max(128)
export const FactorFields = {
  code: z
    .string()
    .regex(/^\d{6}$/)
    .optional()
    .describe('Of the authenticator app'),
  recoveryCode: z.string().min(5).max(50).optional().describe('One of those noted for emergencies; each is good once'),
}
export const oneFactor = ({ code, recoveryCode }: { code?: string; recoveryCode?: string }) =>
  (code === undefined) !== (recoveryCode === undefined) || undefined

const open = (name: string) => ({ action: { name, capability: 'public', effect: 'write', public: true }, idempotency: false }) as const

export function signInRoutes(app: ServiceApp, identity: Identity): void {
  const { config, sql } = identity

  app.get(
    '/v1/auth/methods',
    {
      config: { action: { name: 'http.auth.methods.read', capability: 'public', effect: 'read', public: true } },
      schema: { summary: 'How people sign in', response: { 200: SignInMethods } },
    },
    async () => methodsOf(config.auth),
  )

  app.post(
    '/v1/auth/sign-in',
    {
      config: open('http.auth.sign_in'),
      schema: {
        summary: 'Sign in with a password',
        description: 'Answers with tokens, or with a challenge when the account has a second factor.',
        body: z.strictObject({ tenant, email, password }),
        response: { 200: z.union([SignedIn, Challenged]) },
      },
    },
    async (request) => {
      assertSignsInHere(identity)
      const { tenant, email, password } = request.body
      const outcome = await signInWithPassword(identity, tenant, { email, password }, clientOf(request)).catch((error) => {
        noteFailure(request, tenant, email)
        throw error
      })
      if ('challenge' in outcome) return { challenge: outcome.challenge, factors: ['code' as const, 'recoveryCode' as const] }
      return signedIn(tenant, outcome.session, 'password')
    },
  )

  app.post(
    '/v1/auth/sign-in/factor',
    {
      config: open('http.auth.sign_in_factor'),
      schema: {
        summary: 'Answer the challenge of a sign-in with a second factor',
        body: z
          .strictObject({ tenant, challenge: z.string().min(1).max(500), ...FactorFields })
          .refine(oneFactor, 'Send code or recoveryCode, one of the two.'),
        response: { 200: SignedIn },
      },
    },
    async (request) => {
      assertSignsInHere(identity)
      const { tenant, challenge, code, recoveryCode } = request.body
      const factor = factorIn({ code, recoveryCode })
      return signedIn(tenant, await answerChallenge(identity, tenant, challenge, factor, clientOf(request)), nameOf(factor))
    },
  )

  app.post(
    '/v1/auth/refresh',
    {
      config: open('http.auth.refresh'),
      schema: {
        summary: 'Go on with a session: a new access token, with what the person may now',
        body: z.strictObject({ tenant, refreshToken: z.string().max(500) }),
        response: { 200: SignedIn },
      },
    },
    async ({ body: { tenant, refreshToken } }) => {
      assertSignsInHere(identity)
      const session = await findByRefreshToken(identity, tenant, refreshToken)
      if (!session) throw refused()
      await keepSession(sql, tenant, session.id, config.auth.accounts.sessionDays)
      return tokensOf(identity, tenant, session)
    },
  )

  app.post(
    '/v1/auth/sign-out',
    {
      config: { action: { name: 'http.auth.sign_out', capability: 'me.session', effect: 'write' }, idempotency: false },
      schema: { summary: 'End the own session; its tokens are refused', response: { 200: z.object({ ended: z.boolean() }) } },
    },
    async (request) => {
      const { tenant, session, userId } = personIn(request)
      const ended = await endSessions(identity, tenant, { id: session })
      await record(identity, tenant, 'identity.signed_out', { user: userId, session })
      return { ended: ended > 0 }
    },
  )

  app.post(
    '/v1/auth/step-up',
    {
      config: { action: { name: 'http.auth.step_up', capability: 'me.mfa', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Show the second factor once more, and get tokens that say so',
        description: 'For what answers mfa_required. What the session does from now on counts as done with a second factor.',
        body: z.strictObject(FactorFields).refine(oneFactor, 'Send code or recoveryCode, one of the two.'),
        response: { 200: SignedIn },
      },
    },
    async (request) => {
      assertSignsInHere(identity)
      const known = personIn(request)
      const factor = factorIn(request.body)
      const session = await showFactor(identity, known, factor)
      await record(identity, known.tenant, 'identity.factor_shown', { user: known.userId, session: session.id, factor: nameOf(factor) })
      return tokensOf(identity, known.tenant, session)
    },
  )

  async function signedIn(tenant: string, session: Session, by: string) {
    await record(identity, tenant, 'identity.signed_in', { user: session.userId, session: session.id, by, address: session.address })
    return tokensOf(identity, tenant, session)
  }

  /** Of accounts there are only: what strangers type is nobody's record. Not waited for, so that the answer takes as long for both. */
  function noteFailure(request: FastifyRequest, tenant: string, email: string): void {
    void (async () => {
      const { rows } = await sql.tenant(tenant).query('select id from identity.users where email = $1', [email.toLowerCase()])
      if (rows[0]) await record(identity, tenant, 'identity.sign_in_failed', { user: rows[0].id, address: request.ip })
    })().catch((error) => request.log.warn({ err: error }, 'a failed sign-in could not be recorded'))
  }
}

export function clientOf(request: FastifyRequest): Client {
  return { address: request.ip, userAgent: request.headers['user-agent']?.slice(0, 200) }
}

export function factorIn({ code, recoveryCode }: { code?: string; recoveryCode?: string }): Factor {
  return code === undefined ? { recoveryCode: recoveryCode as string } : { code }
}

function nameOf(factor: Factor): string {
  return 'code' in factor ? 'code' : 'recovery code'
}

function methodsOf({ issuer, clientId, scope, mfa, accounts }: Identity['config']['auth']) {
  return {
    password: issuer ? null : { tenant: FIRST_TENANT, minPasswordLength: accounts.minPasswordLength },
    openIdConnect: issuer && clientId ? { issuer, clientId, scope, mfaLevels: mfa.acr } : null,
  }
}
