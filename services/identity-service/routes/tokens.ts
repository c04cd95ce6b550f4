import { Principal } from '@soma/contracts/tenant'
import type { TokenIssuer } from '@soma/kernel/auth/tokens'
import type { Config } from '@soma/kernel/config/schema'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

export function tokenRoutes(app: ServiceApp, { tokens, config }: { tokens: TokenIssuer; config: Config }): void {
  app.get(
    '/.well-known/jwks.json',
    {
      config: { action: { name: 'http.jwks.read', capability: 'public', effect: 'read', public: true } },
      schema: {
        summary: 'Public keys of the platform’s tokens',
        response: { 200: z.object({ keys: z.array(z.record(z.string(), z.unknown())) }) },
      },
    },
    async () => ({ keys: tokens.jwks.keys.map((key) => ({ ...key })) }),
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
          ttlSeconds: z.number().int().min(60).max(86_400).optional(),
        }),
        response: { 201: z.object({ token: z.string(), expiresInSeconds: z.number() }) },
      },
    },
    async (request, reply) => {
      const { capabilities, ttlSeconds = config.auth.tokenTtlSeconds } = request.body
      const within = capabilities ? [...request.principal.within, capabilities] : request.principal.within
      const token = await tokens.issue({ ...request.principal, within }, { audience: config.auth.audience, ttlSeconds })
      return reply.code(201).send({ token, expiresInSeconds: ttlSeconds })
    },
  )

  app.get(
    '/v1/me',
    {
      config: { action: { name: 'http.me.read', capability: 'me.read', effect: 'read', answersOwnWords: true } },
      schema: { summary: 'Who the credentials stand for', response: { 200: Principal } },
    },
    async (request) => request.principal,
  )
}
