import { createPublicKey, type KeyObject } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { Principal } from '@soma/contracts/tenant'
import {
  calculateJwkThumbprint,
  createLocalJWKSet,
  createRemoteJWKSet,
  errors,
  exportJWK,
  type JSONWebKeySet,
  jwtVerify,
  SignJWT,
} from 'jose'

/** Signatures that are taken. Symmetric ones are not: whoever could check a token could then make one. */
const ALGORITHMS = ['EdDSA', 'RS256', 'ES256']
const CLOCK_TOLERANCE_SECONDS = 30

export interface TokenIssuer {
  /** A token for the principal, to be shown to `audience` for `ttlSeconds`. */
  issue(principal: Principal, options: { audience: string; ttlSeconds: number }): Promise<string>
  /** The public key, for whoever verifies. */
  jwks: JSONWebKeySet
}

/** Signs tokens with the platform's Ed25519 key. Its id is its thumbprint (RFC 7638), so a new key has a new id. */
export async function createTokenIssuer(options: { issuer: string; privateKey: KeyObject }): Promise<TokenIssuer> {
  if (options.privateKey.asymmetricKeyType !== 'ed25519')
    throw new SomaError('invalid_input', `Tokens are signed with an Ed25519 key, not ${options.privateKey.asymmetricKeyType}.`)
  const jwk = await exportJWK(createPublicKey(options.privateKey))
  const kid = await calculateJwkThumbprint(jwk)
  return {
    issue: ({ id, kind, tenant, capabilities, within }, { audience, ttlSeconds }) =>
      new SignJWT({ kind, tenant, capabilities, within })
        .setProtectedHeader({ alg: 'EdDSA', kid, typ: 'JWT' })
        .setIssuer(options.issuer)
        .setSubject(id)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime(`${ttlSeconds}s`)
        .sign(options.privateKey),
    jwks: { keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] },
  }
}

export interface TokenVerifierOptions {
  issuer: string
  audience: string
  /** The issuer's keys, or where it publishes them. Nothing in a token can name another place or bring a key along. */
  keys: JSONWebKeySet | URL
}

/**
 * Verifies tokens of one issuer.
 * @returns a function that gives the token's principal, and throws `unauthenticated`, or `dependency_unavailable` when the issuer's
 *   keys can't be fetched
 */
export function createTokenVerifier({ issuer, audience, keys }: TokenVerifierOptions): (token: string) => Promise<Principal> {
  const find = keys instanceof URL ? createRemoteJWKSet(keys, { timeoutDuration: 5000 }) : createLocalJWKSet(keys)
  return async (token) => {
    const { payload } = await jwtVerify(token, find, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
      requiredClaims: ['sub', 'exp'],
    }).catch((error) => {
      throw explain(error)
    })
    const { kind, tenant, capabilities, within } = payload
    const principal = Principal.safeParse({ id: payload.sub, kind, tenant, capabilities, within })
    if (principal.success) return principal.data
    throw new SomaError('unauthenticated', 'The token does not say for which tenant, with which capabilities it speaks.')
  }
}

function explain(cause: unknown): SomaError {
  const refuse = (message: string) => new SomaError('unauthenticated', message, {}, { cause })
  if (cause instanceof errors.JWTExpired) return refuse('The token has expired. Ask for a new one.')
  if (cause instanceof errors.JWTClaimValidationFailed)
    return refuse(`The token is not for this platform: its claim "${cause.claim}" does not hold.`)
  if (cause instanceof errors.JOSEAlgNotAllowed) return refuse(`The token is not signed with one of ${ALGORITHMS.join(', ')}.`)
  if (cause instanceof errors.JWKSTimeout || !(cause instanceof errors.JOSEError) || cause.code === 'ERR_JOSE_GENERIC')
    return new SomaError(
      'dependency_unavailable',
      'The keys of the issuer of tokens can not be fetched.',
      { retryAfterSeconds: 5 },
      { cause },
    )
  return refuse('The token is not valid.')
}
