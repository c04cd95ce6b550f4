import { discoverIssuer, readKeys } from './read-issuer.ts'

export interface IssuerCheck {
  issuer: string
  /** How long it took to say where its keys are and to give them. */
  milliseconds: number
  /** How many keys it signs with. OpenID Connect has no way to ask an issuer for its version. */
  keys: number
}

/**
 * Is the issuer there, and does it give its keys?
 * @returns undefined when the configuration names no issuer
 * @throws `dependency_unavailable` with what to do
 */
export async function checkIssuer({
  auth: { issuer, jwksUrl },
}: {
  auth: { issuer?: string; jwksUrl?: string }
}): Promise<IssuerCheck | undefined> {
  if (!issuer) return undefined
  const began = performance.now()
  const { jwks_uri } = await discoverIssuer(issuer)
  const { keys } = await readKeys(issuer, new URL(jwksUrl ?? jwks_uri))
  return { issuer, keys: keys.length, milliseconds: Math.round(performance.now() - began) }
}
