import type { Config } from '@soma/kernel/config/schema'
import type { ServiceApp } from '@soma/kernel/http/service'
import { z } from 'zod'

const SignInMethods = z.object({
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

/** How people may sign in: asked by whoever has no credentials yet. */
export function signInRoutes(app: ServiceApp, { config: { auth } }: { config: Config }): void {
  const { issuer, clientId, scope, mfa } = auth
  const openIdConnect = issuer && clientId ? { issuer, clientId, scope, mfaLevels: mfa.acr } : null
  app.get(
    '/v1/auth/methods',
    {
      config: { action: { name: 'http.auth.methods.read', capability: 'public', effect: 'read', public: true } },
      schema: { summary: 'How people sign in', response: { 200: SignInMethods } },
    },
    async () => ({ openIdConnect }),
  )
}
