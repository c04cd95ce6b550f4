import { SomaError } from '@soma/contracts/errors'
import type { ServiceApp } from '@soma/kernel/http/service'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { assertSignsInHere, type Identity, personIn, record, tokensOf } from '../identity.ts'
import { beginEnrolment, removeSecondFactor, renewRecoveryCodes, showFactor } from '../people/second-factor.ts'
import { endSessions } from '../people/sessions.ts'
import { changePassword, findUser } from '../people/users.ts'
import { FactorFields, SignedIn } from './sign-in.ts'
import { UserShape } from './users.ts'

/** Seconds for which a second factor counts as shown just now. */
const JUST_NOW_SECONDS = 600

const Id = z.object({ id: z.string().max(100).describe('The own id, or "me"') })
const Confirmation = z.strictObject({ password: z.string().min(1).max(128).optional().describe('Of accounts that have one') })
const own = (name: string) => ({ action: { name, capability: 'me.mfa', effect: 'write' }, idempotency: false }) as const

/** What people do with their own accounts. */
export function ownAccountRoutes(app: ServiceApp, identity: Identity): void {
  const { config, sql } = identity

  app.get(
    '/v1/account',
    {
      config: { action: { name: 'http.account.read', capability: 'me.read', effect: 'read' } },
      schema: { summary: 'The own account', response: { 200: UserShape } },
    },
    (request) => {
      const { tenant, userId } = personIn(request)
      return findUser(sql, tenant, userId)
    },
  )

  app.post(
    '/v1/account/password',
    {
      config: { action: { name: 'http.account.password', capability: 'me.password', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Change the own password; every other session ends',
        body: z.strictObject({
          current: z.string().min(1).max(128),
          next: z.string().min(config.auth.accounts.minPasswordLength).max(128),
        }),
        response: { 200: z.object({ endedSessions: z.number() }) },
      },
    },
    async (request) => {
      assertSignsInHere(identity)
      const known = personIn(request)
      await changePassword(identity, known, request.body)
      const endedSessions = await endSessions(identity, known.tenant, { userId: known.userId, except: known.session })
      await record(identity, known.tenant, 'identity.password_changed', { user: known.userId, by: request.principal.id })
      return { endedSessions }
    },
  )

  app.post(
    '/v1/users/:id/mfa/enroll',
    {
      config: own('http.users.mfa.enroll'),
      schema: {
        summary: 'Begin with an authenticator app for the own account',
        description: 'Address and codes are shown this once. The app counts from the moment that its first code is verified.',
        params: Id,
        body: Confirmation,
        response: {
          200: z.object({
            uri: z.string().describe('otpauth:// address, for a QR code'),
            recoveryCodes: z.array(z.string()).describe('For when the app is lost; each is good once'),
          }),
        },
      },
    },
    async (request) => {
      const known = ownerOf(request)
      await assertConfirmed(request, request.body.password)
      const enrolment = await beginEnrolment(identity, known, request.body.password)
      await record(identity, known.tenant, 'identity.factor_begun', { user: known.userId })
      return enrolment
    },
  )

  app.post(
    '/v1/users/:id/mfa/verify',
    {
      config: own('http.users.mfa.verify'),
      schema: {
        summary: 'Show the first code of a new authenticator app, which puts it in force; the session goes on with other tokens',
        params: Id,
        body: z.strictObject({ code: FactorFields.code.unwrap() }),
        response: { 200: SignedIn },
      },
    },
    async (request) => {
      const known = ownerOf(request)
      const session = await showFactor(identity, known, request.body)
      if (session.id !== known.session) await endSessions(identity, known.tenant, { id: known.session })
      await record(identity, known.tenant, 'identity.factor_enrolled', { user: known.userId })
      return tokensOf(identity, known.tenant, session)
    },
  )

  app.post(
    '/v1/users/:id/mfa/recovery-codes',
    {
      config: own('http.users.mfa.recovery_codes'),
      schema: {
        summary: 'New recovery codes; the old ones are good no more. Needs a second factor of the last ten minutes',
        params: Id,
        body: Confirmation,
        response: { 200: z.object({ recoveryCodes: z.array(z.string()) }) },
      },
    },
    async (request) => {
      const known = ownerOf(request)
      assertFactorShown(request)
      const recoveryCodes = await renewRecoveryCodes(identity, known, request.body.password)
      await record(identity, known.tenant, 'identity.recovery_codes_renewed', { user: known.userId })
      return { recoveryCodes }
    },
  )

  app.post(
    '/v1/users/:id/mfa/remove',
    {
      config: own('http.users.mfa.remove'),
      schema: {
        summary: 'Take the own authenticator app away. Needs a second factor of the last ten minutes',
        params: Id,
        response: { 200: UserShape },
      },
    },
    async (request) => {
      const known = ownerOf(request)
      assertFactorShown(request)
      await removeSecondFactor(sql, known.tenant, known.userId)
      await record(identity, known.tenant, 'identity.factor_removed', { user: known.userId, by: request.principal.id })
      return findUser(sql, known.tenant, known.userId)
    },
  )

  function ownerOf(request: FastifyRequest<{ Params: { id: string } }>) {
    assertSignsInHere(identity)
    const known = personIn(request)
    const { id } = request.params
    if (id === 'me' || id === known.userId) return known
    throw new SomaError('forbidden', 'Everybody sets up the own second factor; an administrator can only take one away.', { id })
  }

  /** Whoever only got hold of an access token must not be able to bind the account to his own factor. */
  async function assertConfirmed(request: FastifyRequest, password: string | undefined): Promise<void> {
    const { tenant, userId } = personIn(request)
    const { hasPassword } = await findUser(sql, tenant, userId)
    if (!hasPassword) assertFactorShown(request)
    else if (password === undefined) throw new SomaError('invalid_input', 'Send the password along.')
  }
}

/** @throws `mfa_required` when no second factor was shown just now */
export function assertFactorShown({ principal }: FastifyRequest): void {
  if (principal.mfa && (principal.mfaAt ?? 0) > Date.now() / 1000 - JUST_NOW_SECONDS) return
  throw new SomaError('mfa_required', 'Show the second factor first: POST /v1/auth/step-up, or sign in with a passkey.', {
    maxAgeSeconds: JUST_NOW_SECONDS,
  })
}
