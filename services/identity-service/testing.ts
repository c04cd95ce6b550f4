import { randomBytes } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { holds, type Principal } from '@soma/contracts/tenant'
import { issueApiKey } from '@soma/kernel/auth/api-keys'
import { createAuthenticate } from '@soma/kernel/auth/authenticate'
import { IDENTITY_MIGRATIONS } from '@soma/kernel/auth/migrations'
import { openTokens } from '@soma/kernel/auth/open-tokens'
import { verifyApiKey } from '@soma/kernel/auth/verify-api-key'
import { Config, type ConfigInput } from '@soma/kernel/config/schema'
import { ALLOWED, openTestServer } from '@soma/kernel/http/testing'
import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import { openJournalEvents } from '@soma/ports/events/journal'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgresSecrets } from '@soma/ports/secrets/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import type { z } from 'zod'
import type { SignedIn } from './routes/sign-in.ts'
import { identityService } from './service.ts'

export const PASSWORD = 'correct horse battery staple'
export type Tokens = z.infer<typeof SignedIn>

export interface Answer<Body> {
  status: number
  headers: Record<string, unknown>
  body: Body
}

/**
 * identity-service on a real database, with real tokens and keys; of the gate only that a capability is needed. Each test takes a tenant
 * of its own by `newTenant`.
 */
export async function openIdentityServer(config: ConfigInput = {}) {
  const sql = await openTestSql()
  await sql.migrate('identity', IDENTITY_MIGRATIONS)
  const [journal, broadcast] = await Promise.all([openPostgresJournal(sql), openPostgresBroadcast(sql)])
  const secrets = await openPostgresSecrets(sql, { masterKey: randomBytes(32) })
  const events = await openJournalEvents({ sql, journal, views: [] })
  const settings = Config.parse({
    http: { publicUrl: 'http://localhost:8000' },
    rateLimit: { unauthenticatedPerMinute: 100_000 },
    ...config,
  })
  const tokens = await openTokens({ config: settings, sql, journal, secrets, broadcast })
  const server = await openTestServer([identityService], {
    config: settings,
    needs: { sql, journal, broadcast, secrets, events, tokens },
    authenticate: createAuthenticate({
      apiKey: (key) => verifyApiKey({ sql, revocations: tokens.revocations }, key),
      token: async (token) => (await tokens.verify(token)).principal,
    }),
    gate: async ({ principal, action }) => {
      if (holds(principal, action.capability)) return ALLOWED
      throw new SomaError('forbidden', `${principal.id} does not hold ${action.capability}.`)
    },
  })

  async function call<Body = Record<string, unknown>>(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    { body, by, address }: { body?: object; by?: string; address?: string } = {},
  ): Promise<Answer<Body>> {
    const answer = await server.app.inject({
      method,
      url: path,
      payload: body,
      headers: by ? { authorization: `Bearer ${by}` } : {},
      remoteAddress: address,
    })
    return { status: answer.statusCode, headers: answer.headers, body: (answer.body ? answer.json() : undefined) as Body }
  }

  let tenants = 0
  return {
    sql,
    journal,
    events,
    tokens,
    server,
    call,
    /** A tenant, with the key of its owner. */
    async newTenant(): Promise<{ tenant: string; owner: string }> {
      tenants++
      const tenant = `tenant-${tenants}`
      return { tenant, owner: (await issueApiKey(sql, { tenant, name: 'owner', capabilities: ['*'] }, 'platform')).key }
    },
    /** A person with the password `PASSWORD` who is signed in. */
    async newPerson({ owner }: { owner: string }, name: string, roles: string[] = ['viewer']): Promise<Tokens & { email: string }> {
      const email = `${name}@example.org`
      const invited = await call<{ token: string }>('POST', '/v1/invitations', { by: owner, body: { email, roles } })
      const joined = await call<Tokens>('POST', '/v1/invitations/accept', { body: { token: invited.body.token, name, password: PASSWORD } })
      if (joined.status !== 201) throw new Error(`${name} did not join: ${JSON.stringify(joined.body)}`)
      return { ...joined.body, email }
    },
    signIn: (tenant: string, email: string, password = PASSWORD, address?: string) =>
      call<Tokens & { challenge: string; code: string; details: { retryAfterSeconds: number } }>('POST', '/v1/auth/sign-in', {
        body: { tenant, email, password },
        address,
      }),
    me: (by: string) => call<Principal & { code: string }>('GET', '/v1/me', { by }),
    async close() {
      await server.close()
      await tokens.close()
      await events.close()
      await secrets.close()
      await broadcast.close()
      await journal.close()
      await sql.close()
    },
  }
}
