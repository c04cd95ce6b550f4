import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'

/**
 * Signatures that are taken, all by a key pair. Symmetric ones are not: whoever could check a token could then make one, and the
 * issuer's public key would pass for a secret.
 */
const ALGORITHMS = ['EdDSA', 'Ed25519', 'ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512']

/** An issuer whose tokens are accepted. */
export interface TrustedIssuer {
  /** As the claim `iss` says it, to the letter. */
  issuer: string
  /** The issuer's key for a token. Nothing in a token can name another place or bring a key along. */
  findKey: JWTVerifyGetKey
  /** How far its clock may differ from ours. */
  clockToleranceSeconds: number
  /** Who a token stands for; undefined when its claims make nobody. */
  principalOf(claims: JWTPayload): Principal | undefined
}

/**
 * Verifies tokens of these issuers.
 * @returns a function that gives the token's principal, and throws `unauthenticated`, or `dependency_unavailable` when the issuer's
 *   keys can't be fetched
 */
export function createTokenVerifier(issuers: readonly TrustedIssuer[], audience: string): (token: string) => Promise<Principal> {
  return async (token) => {
    try {
      const { findKey, clockToleranceSeconds, principalOf, issuer } = issuerOf(token, issuers)
      const { payload } = await jwtVerify(token, findKey, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        clockTolerance: clockToleranceSeconds,
        requiredClaims: ['sub', 'exp'],
      })
      const principal = principalOf(payload)
      if (principal) return principal
    } catch (error) {
      throw explain(error)
    }
    throw refused('The token does not say for which tenant, with which capabilities it speaks.')
  }
}

/** By what the token says of itself; whether that is true, the issuer's key tells afterwards. */
function issuerOf(token: string, issuers: readonly TrustedIssuer[]): TrustedIssuer {
  const claims = decodeJwt(token)
  const found = issuers.find(({ issuer }) => issuer === claims.iss)
  if (found) return found
  throw new errors.JWTClaimValidationFailed('unexpected "iss" claim value', claims, 'iss', 'check_failed')
}

function explain(cause: unknown): unknown {
  if (SomaError.is(cause)) return cause
  if (cause instanceof errors.JWTExpired) return refused('The token has expired. Ask for a new one.', cause)
  if (cause instanceof errors.JWTClaimValidationFailed)
    return refused(`The token is not for this platform: its claim "${cause.claim}" does not hold.`, cause)
  if (cause instanceof errors.JOSEAlgNotAllowed) return refused(`The token is not signed with one of ${ALGORITHMS.join(', ')}.`, cause)
  if (cause instanceof errors.JOSEError) return refused('The token is not valid.', cause)
  return cause
}

function refused(message: string, cause?: unknown): SomaError {
  return new SomaError('unauthenticated', message, {}, { cause })
}
