import type { Config } from '../config/schema.ts'
import { trustExternalIssuer } from './external-issuer.ts'
import type { TokenKeys } from './token-keys.ts'
import { trustPlatform } from './tokens.ts'
import type { TrustedIssuer } from './verify-token.ts'

/** Whose tokens are accepted: the platform's own, by which its services speak to each other, and those of the issuer people sign in at. */
export function trustedIssuers({ auth }: Config, keys: Pick<TokenKeys, 'find'>): TrustedIssuer[] {
  const external = trustExternalIssuer(auth)
  return [trustPlatform(keys), ...(external ? [external] : [])]
}
