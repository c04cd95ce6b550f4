import { randomBytes, randomUUID } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import type { Tokens } from '@soma/kernel/auth/open-tokens'
import type { Config } from '@soma/kernel/config/schema'
import type { Needs, ServiceContext } from '@soma/kernel/http/service'
import type { Secrets } from '@soma/ports/secrets/port'
import type { Sql } from '@soma/ports/sql/port'
import { openBetterAuth, type WithBetterAuth } from './people/better-auth.ts'
import { principalOfSession, refreshTokenOf, type Session } from './people/sessions.ts'

export type IdentityNeeds = Pick<Needs, 'sql' | 'tokens' | 'secrets' | 'journal' | 'events'>

/** What the routes of this service stand on. */
export interface Identity {
  sql: Sql
  tokens: Tokens
  revocations: Tokens['revocations']
  config: Config
  secret: () => Promise<string>
  withBetterAuth: WithBetterAuth
  journal: Needs['journal']
  events: Needs['events']
  logger: ServiceContext['logger']
}

export function openIdentity(context: ServiceContext & IdentityNeeds): Identity {
  const { sql, tokens, config, journal, events, logger } = context
  const secret = rememberSecret(context.secrets)
  const withBetterAuth = openBetterAuth({ sql, config, secret })
  return { sql, tokens, revocations: tokens.revocations, config, secret, withBetterAuth, journal, events, logger }
}

/** Made at first use; the first version is the one that counts, whoever else makes one at the same moment. */
function rememberSecret(secrets: Secrets): () => Promise<string> {
  let known: Promise<string> | undefined
  const load = async () => {
    const read = () => secrets.read('platform', 'keys/sessions', 1)
    const there = await read()
    if (there) return there
    await secrets.write('platform', 'keys/sessions', randomBytes(32).toString('base64url'))
    return (await read()) as string
  }
  return () => {
    known ??= load()
    known.catch(() => {
      known = undefined
    })
    return known
  }
}

/** Writes into the ledger what happened to somebody's access; what is not on disk did not happen. */
export async function record(
  { journal }: Pick<Identity, 'journal'>,
  tenant: string,
  kind: `identity.${string}`,
  payload: object,
): Promise<void> {
  await journal.append({ tenant, stream: 'identity', expectedSeq: 'any', entries: [{ kind, payload }] })
}

/** Tells whoever follows a topic. */
export async function publish(
  { events }: Pick<Identity, 'events'>,
  topic: string,
  { type, tenant, subject, data }: { type: `soma.${string}`; tenant: string; subject: string; data: object },
): Promise<void> {
  await events.publish(topic, [
    {
      specversion: '1.0',
      id: randomUUID(),
      source: 'soma/identity-service',
      type,
      subject,
      time: new Date().toISOString(),
      datacontenttype: 'application/json',
      partitionkey: tenant,
      data,
    },
  ])
}

/** What somebody gets who signed in, or goes on with a session. */
export async function tokensOf(identity: Identity, tenant: string, session: Session) {
  const { config, tokens } = identity
  const { tokenSeconds } = config.auth.accounts
  const asOf = Date.now()
  const principal = await principalOfSession(identity.sql, tenant, session.id)
  return {
    accessToken: await tokens.issue(principal, { audience: config.auth.audience, ttlSeconds: tokenSeconds, asOf }),
    expiresInSeconds: tokenSeconds,
    refreshToken: await refreshTokenOf(identity, tenant, session.id),
    tenant,
    userId: session.userId,
    sessionId: session.id,
  }
}

/** @throws `conflict` when people sign in at an issuer of OpenID Connect */
export function assertSignsInHere({ config }: Pick<Identity, 'config'>): void {
  const { issuer } = config.auth
  if (issuer) throw new SomaError('conflict', `People sign in at ${issuer} here, and have their passwords and factors there.`, { issuer })
}

/**
 * The person who speaks, in a session of this service.
 * @throws `forbidden` for API keys, agents, programs, and people of another issuer
 */
export function personIn({ principal }: { principal: Principal }): { tenant: string; userId: string; session: string } {
  const { kind, id, tenant, session } = principal
  if (kind === 'user' && session !== undefined && id.startsWith('user:')) return { tenant, userId: id.slice('user:'.length), session }
  throw new SomaError('forbidden', `${id} has no account here: this is for people who signed in with one.`, { principal: id })
}
