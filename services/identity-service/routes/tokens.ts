import { SomaError } from '@soma/contracts/errors'
import { holds, Principal } from '@soma/contracts/tenant'
import type { Tokens } from '@soma/kernel/auth/open-tokens'
import type { VerifiedToken } from '@soma/kernel/auth/verify-token'
import type { Config } from '@soma/kernel/config/schema'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

/** An agent's token is good for minutes, however long its run is: the next one is asked for. */
const LONGEST_AGENT_TOKEN_SECONDS = 300

/** Whoever verifies takes a token for this long after it expired at the most (`auth.clockToleranceSeconds`). */
const CLOCK_DIFFERENCE_SECONDS = 120

const ShownToken = z.strictObject({ token: z.string().min(1).max(8192) })

const Introspection = z.object({
  active: z.boolean().describe('False for a token that is expired, revoked, forged, or of another tenant'),
  principal: Principal.optional(),
  id: z.string().optional().describe('By which it can be revoked'),
  expiresAt: z.string().optional(),
})

const seconds = z.number().int().min(60).max(86_400)

export function tokenRoutes(app: ServiceApp, { tokens, config }: { tokens: Tokens; config: Config }): void {
  app.get(
    '/.well-known/jwks.json',
    {
      config: { action: { name: 'http.jwks.read', capability: 'public', effect: 'read', public: true } },
      schema: {
        summary: 'Public keys of the platform’s tokens',
        response: { 200: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }) },
      },
    },
    async () => ({ keys: tokens.jwks().keys.map((key) => ({ ...key })) }),
  )

  app.post(
    '/v1/tokens',
    {
      config: {
        action: { name: 'http.tokens.issue', capability: 'token.issue', effect: 'write', answersOwnWords: true },
        idempotency: false,
      },
      schema: {
        summary: 'Exchange credentials for a short-lived token with no more than their capabilities',
        body: z.strictObject({
          capabilities: z.array(z.string()).min(1).optional().describe('Limits the token further'),
          ttlSeconds: seconds.optional().describe('An agent’s token is good for 300 at the most'),
        }),
        response: { 201: z.object({ token: z.string(), expiresInSeconds: z.number() }) },
      },
    },
    async (request, reply) => {
      const { principal, body, life } = request
      const { capabilities, ttlSeconds = config.auth.tokenTtlSeconds } = body
      const within = capabilities ? [...principal.within, capabilities] : principal.within
      const expiresInSeconds = principal.kind === 'agent' ? Math.min(ttlSeconds, LONGEST_AGENT_TOKEN_SECONDS) : ttlSeconds
      const asOf = Date.now() - (life ? performance.now() - life.startedAt : 0)
      const token = await tokens.issue({ ...principal, within }, { audience: config.auth.audience, ttlSeconds: expiresInSeconds, asOf })
      return reply.code(201).send({ token, expiresInSeconds })
    },
  )

  app.post(
    '/v1/tokens/verify',
    {
      config: { action: { name: 'http.tokens.verify', capability: 'token.verify', effect: 'read' }, idempotency: false },
      schema: { summary: 'Is a token good, and for whom?', body: ShownToken, response: { 200: Introspection } },
    },
    async (request) => {
      const shown = await verifiedIn(request.principal.tenant, request.body.token)
      if (!shown) return { active: false }
      const { principal, id, claims } = shown
      return { active: true, principal, id, expiresAt: new Date((claims.exp ?? 0) * 1000).toISOString() }
    },
  )

  app.post(
    '/v1/tokens/revoke',
    {
      config: { action: { name: 'http.tokens.revoke', capability: 'token.revoke', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Revoke a token: refused in every process within five seconds',
        description: 'Who has the capability token.admin revokes also tokens of others. A token that is no longer good is left as it is.',
        body: ShownToken,
        response: { 200: z.object({ revoked: z.boolean() }) },
      },
    },
    async ({ principal, body }) => {
      const shown = await verifiedIn(principal.tenant, body.token)
      if (!shown) return { revoked: false }
      if (shown.principal.id !== principal.id && !holds(principal, 'token.admin'))
        throw new SomaError('forbidden', `${principal.id} can revoke its own tokens only; for others it lacks token.admin.`, {
          capability: 'token.admin',
        })
      const until = new Date(((shown.claims.exp ?? 0) + CLOCK_DIFFERENCE_SECONDS) * 1000)
      await tokens.revocations.revoke({ tenant: principal.tenant, kind: 'token', value: shown.id, until })
      return { revoked: true }
    },
  )

  app.post(
    '/v1/tokens/keys/rotate',
    {
      config: { action: { name: 'http.tokens.rotate_key', capability: 'platform.keys', effect: 'write' }, idempotency: false },
      schema: {
        summary: 'Sign tokens with a new key; the old one is taken until its last token has expired',
        body: z
          .strictObject({ distrustOld: z.boolean().default(false).describe('Refuse every token of the old keys at once') })
          .default({ distrustOld: false }),
        response: { 200: z.object({ kid: z.string() }) },
      },
    },
    (request) => tokens.rotateKey(request.body),
  )

  app.get(
    '/v1/me',
    {
      config: { action: { name: 'http.me.read', capability: 'me.read', effect: 'read', answersOwnWords: true } },
      schema: { summary: 'Who the credentials stand for', response: { 200: Principal } },
    },
    async (request) => request.principal,
  )

  /** Undefined for a token that is not good, or is another tenant's, of which nothing is said. */
  async function verifiedIn(tenant: string, token: string): Promise<VerifiedToken | undefined> {
    const shown = await tokens.verify(token).catch((error) => {
      if (SomaError.is(error, 'unauthenticated')) return undefined
      throw error
    })
    return shown?.principal.tenant === tenant ? shown : undefined
  }
}
