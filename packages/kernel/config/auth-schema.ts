import { defaultCapabilities } from '@soma/contracts/roles'
import { TenantId } from '@soma/contracts/tenant'
import { z } from 'zod'
import { url } from './fields.ts'

const claim = (name: string, holds: string) =>
  z.string().min(1).default(name).describe(`Claim that holds ${holds}; a dot leads into an object.`)

const Claims = z.strictObject({
  tenant: claim('tenant', 'the tenant'),
  roles: claim('roles', 'the roles, as a list or as words'),
  capabilities: claim('capabilities', 'capabilities besides those of the roles, as a list or as words'),
  kind: claim('kind', 'whether a program speaks for itself: its value is then "service"'),
})

/** Names that no other use of an issuer gives a meaning to by accident. */
const ROLES_OF_ISSUER: Readonly<Record<string, string[]>> = {
  'soma-owner': defaultCapabilities('owner'),
  'soma-admin': defaultCapabilities('administrator'),
  'soma-developer': defaultCapabilities('developer'),
  'soma-operator': defaultCapabilities('operator'),
  'soma-auditor': defaultCapabilities('auditor'),
  'soma-viewer': defaultCapabilities('viewer'),
}

/** Of people who sign in here, when no issuer is named. */
const Accounts = z.strictObject({
  minPasswordLength: z.number().int().min(8).max(128).default(12).describe('Characters of a password at the least.'),
  sessionDays: z
    .number()
    .int()
    .min(1)
    .max(30)
    .default(7)
    .describe('Days after which a session that is not used ends. After 30 days each one does.'),
  tokenSeconds: z
    .number()
    .int()
    .min(60)
    .max(3600)
    .default(300)
    .describe('How long an access token of a session is valid; a new one is got by itself.'),
  invitationHours: z.number().int().min(1).max(720).default(72).describe('How long the link of an invitation works.'),
})

/** Who may speak to the platform: its own tokens always, and those of one issuer of OpenID Connect. */
export const Auth = z
  .strictObject({
    issuer: url('OpenID Connect issuer whose tokens are accepted besides the platform’s own: https, or http on this machine.')
      .refine((text) => isSafeIssuer(new URL(text)), 'must be https, or http on this machine, without query')
      .optional(),
    jwksUrl: url('Where the issuer’s keys are, when not where its discovery document says.').optional(),
    audience: z.string().min(1).default('soma').describe('Audience (aud) that a token must name.'),
    clientId: z.string().min(1).optional().describe('Public client of the issuer with which the command line signs people in.'),
    scope: z.string().min(1).default('openid').describe('Scopes that the command line asks for.'),
    clockToleranceSeconds: z.number().int().min(0).max(120).default(30).describe('How far the clocks of issuer and platform may differ.'),
    claims: Claims.prefault({}),
    roles: z
      .record(z.string(), z.array(z.string().min(1)))
      .default(ROLES_OF_ISSUER)
      .describe('Capabilities of each role that a token may name. A role that is not here gives none.'),
    defaultTenant: TenantId.optional().describe('Tenant of tokens that name none. Without it they are refused.'),
    mfa: z
      .strictObject({
        amr: z.array(z.string().min(1)).default(['mfa']).describe('Authentication methods (amr) that stand for a second factor.'),
        acr: z.array(z.string().min(1)).default([]).describe('Authentication levels (acr) that stand for a second factor.'),
      })
      .prefault({}),
    accounts: Accounts.prefault({}),
    tokenTtlSeconds: z.number().int().min(60).max(86_400).default(3600).describe('How long a token of the platform is valid.'),
  })
  .refine(({ issuer, jwksUrl }) => issuer !== undefined || jwksUrl === undefined, {
    path: ['issuer'],
    error: 'must be set when auth.jwksUrl is: the keys are only taken for tokens of an issuer',
  })
  .refine(({ clientId, audience }) => clientId !== audience, {
    path: ['audience'],
    error: 'must not be the client of the command line, or its ID tokens would pass for access tokens',
  })

/** Whoever can change what an issuer says on the way can make tokens. */
function isSafeIssuer({ protocol, hostname, search }: URL): boolean {
  return search === '' && (protocol === 'https:' || /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname))
}
