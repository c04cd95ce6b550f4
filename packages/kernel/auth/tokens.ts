import { randomUUID } from 'node:crypto'
import { Principal } from '@soma/contracts/tenant'
import { type JSONWebKeySet, SignJWT } from 'jose'
import type { TokenKeys } from './token-keys.ts'
import type { TrustedIssuer } from './verify-token.ts'

/** Issuer (iss) of the platform's own tokens. It is no URL, so no issuer of OpenID Connect is called the same. */
const PLATFORM_ISSUER = 'soma'

export interface TokenIssuer {
  /**
   * A token for the principal, to be shown to `audience` for `ttlSeconds`.
   * @param options.asOf when it was begun to look up what the principal may, in milliseconds since 1970; now, when nothing was. Should
   *   that change meanwhile, the revocation of what was issued before covers this token too.
   */
  issue(principal: Principal, options: { audience: string; ttlSeconds: number; asOf?: number }): Promise<string>
  /** The public keys, for whoever verifies. */
  jwks(): JSONWebKeySet
}

/** Signs the platform's tokens. Each has an id (jti) by which it can be revoked. */
export function createTokenIssuer(keys: TokenKeys): TokenIssuer {
  return {
    issue({ id, session, ...claims }, { audience, ttlSeconds, asOf = Date.now() }) {
      const { kid, privateKey } = keys.signing()
      const now = asOf / 1000
      return (
        new SignJWT({ ...claims, ...(session === undefined ? {} : { sid: session }) })
          .setProtectedHeader({ alg: 'EdDSA', kid, typ: 'JWT' })
          .setIssuer(PLATFORM_ISSUER)
          .setSubject(id)
          .setAudience(audience)
          .setJti(randomUUID())
          // To the millisecond (RFC 7519, section 2), so that one can tell a token from before a revocation from one after it.
          .setIssuedAt(now)
          .setExpirationTime(Math.ceil(now + ttlSeconds))
          .sign(privateKey)
      )
    },
    jwks: keys.jwks,
  }
}

/** The platform itself as an issuer whose tokens are accepted: they say the principal as it is. */
export function trustPlatform({ find }: Pick<TokenKeys, 'find'>): TrustedIssuer {
  return {
    issuer: PLATFORM_ISSUER,
    findKey: find,
    clockToleranceSeconds: 30,
    principalOf: ({ sub, sid, ...claims }) => Principal.safeParse({ ...claims, id: sub, session: sid }).data,
  }
}
