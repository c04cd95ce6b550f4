import { Principal } from '@soma/contracts/tenant'
import type { JWTPayload } from 'jose'
import type { Config } from '../config/schema.ts'
import { createIssuerKeys } from './issuer-keys.ts'
import type { TrustedIssuer } from './verify-token.ts'

type AuthConfig = Config['auth']

/** The issuer of OpenID Connect that the configuration names; undefined when it names none. */
export function trustExternalIssuer(auth: AuthConfig): TrustedIssuer | undefined {
  const { issuer, jwksUrl, clockToleranceSeconds } = auth
  if (!issuer) return undefined
  return {
    issuer,
    clockToleranceSeconds,
    findKey: createIssuerKeys({ issuer, jwksUrl }),
    principalOf: (claims) => principalOf(claims, auth),
  }
}

/**
 * Who a token of another issuer stands for.
 * Its ids begin with `user:` or `client:`, never with `service:`, which is the platform's own.
 */
export function principalOf(claims: JWTPayload, auth: AuthConfig): Principal | undefined {
  // Bound to a key that its bearer must prove to have (RFC 9449, RFC 8705), which nobody does here.
  if (claims.cnf !== undefined) return undefined
  const named = (claim: keyof AuthConfig['claims']) => claimAt(claims, auth.claims[claim])
  const kind = isProgram(claims, named('kind')) ? 'service' : 'user'
  const principal = Principal.safeParse({
    id: kind === 'service' ? `client:${claims.client_id ?? claims.azp ?? claims.sub}` : `user:${claims.sub}`,
    kind,
    tenant: named('tenant') ?? auth.defaultTenant,
    capabilities: [...new Set([...words(named('roles')).flatMap((role) => capabilitiesOf(role, auth)), ...words(named('capabilities'))])],
    within: [],
    ...secondFactorOf(claims, auth),
    ...(typeof claims.sid === 'string' ? { session: claims.sid } : {}),
  })
  return principal.success && ID.test(principal.data.id) ? principal.data : undefined
}

/** Ids go into the ledger, logs and rules. */
const ID = /^(user|client):[\x21-\x7e]{1,255}$/

/** A program that speaks for itself: by a claim that says so, or as RFC 9068 (section 2.2) has it, where it is its own subject. */
function isProgram(claims: JWTPayload, kind: unknown): boolean {
  return kind === 'service' || (claims.sub !== undefined && claims.sub === claims.client_id)
}

function capabilitiesOf(role: string, { roles }: AuthConfig): string[] {
  return Object.hasOwn(roles, role) ? (roles[role] as string[]) : []
}

/** RFC 8176 (amr) and OpenID Connect Core 1.0, section 2 (acr). That it was shown at `auth_time` is the latest that an issuer says. */
function secondFactorOf({ amr, acr, auth_time }: JWTPayload, { mfa }: AuthConfig): Pick<Principal, 'mfa' | 'mfaAt'> {
  const wasShown = words(amr).some((method) => mfa.amr.includes(method)) || (typeof acr === 'string' && mfa.acr.includes(acr))
  if (!wasShown) return {}
  return typeof auth_time === 'number' ? { mfa: true, mfaAt: Math.floor(auth_time) } : { mfa: true }
}

/** The claim of that name, or one within an object: some issuers name claims by URLs, which hold dots themselves. */
function claimAt(claims: Record<string, unknown>, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  return path.split('.').reduce<unknown>((value, key) => {
    const isThere = typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    return isThere ? (value as Record<string, unknown>)[key] : undefined
  }, claims)
}

/** A list of texts, or one text of words as `scope` is. Anything else says nothing. */
function words(value: unknown): string[] {
  if (typeof value === 'string') return value.split(' ').filter(Boolean)
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : []
}
