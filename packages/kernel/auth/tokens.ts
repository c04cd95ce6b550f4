import { createPublicKey, type KeyObject } from 'node:crypto'
import { SomaError } from '@soma/contracts/errors'
import { Principal } from '@soma/contracts/tenant'
import { calculateJwkThumbprint, createLocalJWKSet, exportJWK, type JSONWebKeySet, SignJWT } from 'jose'
import type { TrustedIssuer } from './verify-token.ts'

/** Issuer (iss) of the platform's own tokens. It is no URL, so no issuer of OpenID Connect is called the same. */
const PLATFORM_ISSUER = 'soma'

export interface TokenIssuer {
  /** A token for the principal, to be shown to `audience` for `ttlSeconds`. */
  issue(principal: Principal, options: { audience: string; ttlSeconds: number }): Promise<string>
  /** The public key, for whoever verifies. */
  jwks: JSONWebKeySet
}

/** Signs tokens with the platform's Ed25519 key. Its id is its thumbprint (RFC 7638), so a new key has a new id. */
export async function createTokenIssuer({ privateKey }: { privateKey: KeyObject }): Promise<TokenIssuer> {
  if (privateKey.asymmetricKeyType !== 'ed25519')
    throw new SomaError('invalid_input', `Tokens are signed with an Ed25519 key, not ${privateKey.asymmetricKeyType}.`)
  const jwk = await exportJWK(createPublicKey(privateKey))
  const kid = await calculateJwkThumbprint(jwk)
  return {
    issue: ({ id, ...claims }, { audience, ttlSeconds }) =>
      new SignJWT({ ...claims })
        .setProtectedHeader({ alg: 'EdDSA', kid, typ: 'JWT' })
        .setIssuer(PLATFORM_ISSUER)
        .setSubject(id)
        .setAudience(audience)
        .setIssuedAt()
        .setExpirationTime(`${ttlSeconds}s`)
        .sign(privateKey),
    jwks: { keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] },
  }
}

/** The platform itself as an issuer whose tokens are accepted: they say the principal as it is. */
export function trustPlatform({ jwks }: Pick<TokenIssuer, 'jwks'>): TrustedIssuer {
  return {
    issuer: PLATFORM_ISSUER,
    findKey: createLocalJWKSet(jwks),
    clockToleranceSeconds: 30,
    principalOf: ({ sub, kind, tenant, capabilities, within, mfa }) =>
      Principal.safeParse({ id: sub, kind, tenant, capabilities, within, mfa }).data,
  }
}
