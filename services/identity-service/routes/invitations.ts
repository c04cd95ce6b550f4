import { SomaError } from '@soma/contracts/errors'
import { RoleName } from '@soma/contracts/roles'
import { assertMayChange } from '@soma/kernel/auth/held-capabilities'
import { decodeCursor, PageQuery, page, pageOf } from '@soma/kernel/http/pagination'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'
import { assertSignsInHere, type Identity, publish, record, tokensOf } from '../identity.ts'
import { addressSubject, beginAttempt, takeBack } from '../people/attempts.ts'
import {
  acceptInvitation,
  type InvitationLink,
  type InvitationRequest,
  invite,
  listInvitations,
  renewLink,
  revokeInvitation,
} from '../people/invitations.ts'
import { capabilitiesOfRoles } from '../people/roles.ts'
import { endSessions } from '../people/sessions.ts'
import { openSession } from '../people/sign-in.ts'
import { findUser, setPassword } from '../people/users.ts'
import { clientOf, email, SignedIn } from './sign-in.ts'
import { assertMayGiveRoles } from './users.ts'

const InvitationShape = z.object({
  id: z.string(),
  purpose: z.enum(['join', 'password']).describe('To become a user, or to set another password'),
  email: z.string(),
  roles: z.array(z.string()),
  userId: z.string().nullable(),
  createdBy: z.string(),
  createdAt: z.string(),
  expiresAt: z.string(),
  usedAt: z.string().nullable(),
  revokedAt: z.string().nullable(),
})
export const Link = z.object({
  invitation: InvitationShape,
  token: z.string().describe('To be given to whom it is for; shown this once, good once'),
})
const Id = z.object({ id: z.string().max(100) })

/** Links by which people come in: there is no mail server here, so whoever makes one hands it on. */
export function invitationRoutes(app: ServiceApp, identity: Identity): void {
  const { sql, config } = identity
  const { invitationHours: hours, minPasswordLength } = config.auth.accounts

  app.post(
    '/v1/invitations',
    {
      config: { action: { name: 'http.invitations.create', capability: 'user.admin', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Invite somebody to become a user with these roles',
        description: 'No more than the caller holds. The link is good once, for the time that auth.accounts.invitationHours says.',
        body: z.strictObject({ email, roles: z.array(RoleName).min(1).max(20) }),
        response: { 201: Link },
      },
    },
    async ({ principal, body }, reply) => {
      assertSignsInHere(identity)
      await assertMayGiveRoles(identity, principal, body.roles)
      return reply.code(201).send(await makeLink(principal.tenant, { purpose: 'join', ...body, createdBy: principal.id, hours }))
    },
  )

  app.post(
    '/v1/users/:id/password-link',
    {
      config: { action: { name: 'http.users.password_link', capability: 'user.admin', effect: 'write' }, idempotency: false },
      schema: { summary: 'A link by which a user who forgot the password sets another one', params: Id, response: { 201: Link } },
    },
    async ({ principal, params: { id } }, reply) => {
      assertSignsInHere(identity)
      const { tenant } = principal
      const user = await findUser(sql, tenant, id)
      assertMayChange(principal, user.email, await capabilitiesOfRoles(sql, tenant, user.roles))
      const request: InvitationRequest = { purpose: 'password', email: user.email, roles: [], userId: id, createdBy: principal.id, hours }
      return reply.code(201).send(await makeLink(tenant, request))
    },
  )

  app.post(
    '/v1/invitations/:id/link',
    {
      config: { action: { name: 'http.invitations.renew', capability: 'user.admin', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'A new link for an open invitation; the old one works no more',
        description: 'The secret of a link is kept nowhere and is in no event: whoever delivers one asks for it here.',
        params: Id,
        response: { 200: Link },
      },
    },
    async ({ principal, params: { id } }) => {
      const link = await renewLink(sql, principal.tenant, id, (roles) => assertMayGiveRoles(identity, principal, roles))
      await record(identity, principal.tenant, 'identity.invitation_renewed', { invitation: id, by: principal.id })
      return link
    },
  )

  app.get(
    '/v1/invitations',
    {
      config: { action: { name: 'http.invitations.list', capability: 'user.read', effect: 'read' } },
      schema: { summary: 'Invitations, used ones too', querystring: PageQuery, response: { 200: page(InvitationShape) } },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const afterId = cursor ? decodeCursor(cursor, z.string()) : undefined
      const rows = await listInvitations(sql, request.principal.tenant, { afterId, limit: limit + 1 })
      return pageOf(rows, limit, { item: (row) => row, position: ({ id }) => id })
    },
  )

  app.delete(
    '/v1/invitations/:id',
    {
      config: { action: { name: 'http.invitations.revoke', capability: 'user.admin', effect: 'write' } },
      schema: { summary: 'Revoke an invitation; its link works no more', params: Id, response: { 200: InvitationShape } },
    },
    async ({ principal, params: { id } }) => {
      const revoked = await revokeInvitation(sql, principal.tenant, id)
      await record(identity, principal.tenant, 'identity.invitation_revoked', { invitation: id, by: principal.id })
      return revoked
    },
  )

  app.post(
    '/v1/invitations/accept',
    {
      config: {
        action: { name: 'http.invitations.accept', capability: 'public', effect: 'write', public: true },
        idempotency: false,
      },
      schema: {
        summary: 'Use a link: become a user, or set another password, and be signed in',
        body: z.strictObject({
          token: z.string().min(1).max(200),
          name: z.string().min(1).max(200).optional().describe('Of a new user; the address when left out'),
          password: z.string().min(minPasswordLength).max(128),
        }),
        response: { 201: SignedIn },
      },
    },
    async (request, reply) => {
      assertSignsInHere(identity)
      const address = addressSubject(request.ip)
      await beginAttempt(sql, address)
      const { tenant, user, purpose } = await acceptInvitation(sql, request.body.token, request.body.name)
      await takeBack(sql, address)
      await setPassword(identity.withBetterAuth, tenant, user.id, request.body.password)
      if (purpose === 'password') await endSessions(identity, tenant, { userId: user.id })
      await record(identity, tenant, purpose === 'join' ? 'identity.user_joined' : 'identity.password_changed', { user: user.id })
      const { hasSecondFactor } = await findUser(sql, tenant, user.id)
      if (hasSecondFactor)
        throw new SomaError('mfa_required', 'The password is set. Sign in with it and the second factor.', { signIn: '/v1/auth/sign-in' })
      return reply.code(201).send(await tokensOf(identity, tenant, await openSession(identity, tenant, user.id, clientOf(request))))
    },
  )

  async function makeLink(tenant: string, request: InvitationRequest): Promise<InvitationLink> {
    const link = await invite(sql, tenant, request)
    const { id, purpose, expiresAt } = link.invitation
    await record(identity, tenant, 'identity.invited', { invitation: id, purpose, roles: request.roles, by: request.createdBy })
    const data = { invitation: id, purpose, email: request.email, expiresAt }
    await publish(identity, 'identity.invitations', { type: 'soma.invitation.created', tenant, subject: id, data })
    return link
  }
}
