import { SomaError } from '@soma/contracts/errors'
import { sha256 } from '@soma/contracts/journal'
import type { Principal } from '@soma/contracts/tenant'
import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { Revocations } from './revocations.ts'

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

/** What a genuine token says. */
export interface VerifiedToken {
  principal: Principal
  claims: JWTPayload
  /** By which it is revoked. */
  id: string
}

export type VerifyToken = (token: string) => Promise<VerifiedToken>

/**
 * Verifies tokens of these issuers.
 * @returns a function that throws `unauthenticated`, or `dependency_unavailable` when the issuer's keys can't be fetched or nobody can
 *   tell whether the token was revoked
 */
export function createTokenVerifier(
  issuers: readonly TrustedIssuer[],
  audience: string,
  revocations: Pick<Revocations, 'assertGood'>,
): VerifyToken {
  return async (token) => {
    const { principal, claims } = await verifySignature(token, issuers, audience).catch((error) => {
      throw explain(error)
    })
    if (!principal) throw refused('The token does not say for which tenant, with which capabilities it speaks.')
    const id = claims.jti ?? sha256(token)
    const { tenant, session, onBehalfOf, run } = principal
    await revocations.assertGood({ tenant, id, principal: principal.id, session, onBehalfOf, run, issuedAt: claims.iat })
    return { principal, claims, id }
  }
}

async function verifySignature(token: string, issuers: readonly TrustedIssuer[], audience: string) {
  const { findKey, clockToleranceSeconds, principalOf, issuer } = issuerOf(token, issuers)
  const { payload } = await jwtVerify(token, findKey, {
    issuer,
    audience,
    algorithms: ALGORITHMS,
    clockTolerance: clockToleranceSeconds,
    requiredClaims: ['sub', 'exp'],
  })
  return { principal: principalOf(payload), claims: payload }
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
