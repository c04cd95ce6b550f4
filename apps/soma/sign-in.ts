import { SomaError } from '@soma/contracts/errors'
import * as oidc from 'openid-client'
import type { IssuerLogin } from './login.ts'
import { receiveRedirect } from './receive-redirect.ts'

/** Where the server says that people sign in. */
export interface SignInPlace {
  issuer: string
  clientId: string
  scope: string
  /** Levels (acr) that stand for a second factor. */
  mfaLevels: string[]
}

interface SignInOptions {
  place: SignInPlace
  /** A second factor shall be shown. */
  withSecondFactor: boolean
  /** Tells the person where to go. */
  tell(address: URL, code?: string): Promise<void>
}

/** How long a person may take. */
const PATIENCE_MILLISECONDS = 10 * 60_000

/** In a browser on this machine: authorization code with PKCE, sent back to a port of our own (RFC 8252). */
export async function signInByBrowser({ place, withSecondFactor, tell }: SignInOptions): Promise<IssuerLogin> {
  const issuer = await openIssuer(place)
  const { verifier, challenge } = await makeProof()
  const state = oidc.randomState()
  const redirect = await receiveRedirect(state)
  try {
    const address = oidc.buildAuthorizationUrl(issuer, {
      redirect_uri: redirect.address,
      scope: place.scope,
      state,
      ...challenge,
      ...levels(place, withSecondFactor),
    })
    await tell(address)
    const answer = await redirect.arrived(AbortSignal.timeout(PATIENCE_MILLISECONDS)).catch(tooLate)
    return await oidc
      .authorizationCodeGrant(issuer, answer, { pkceCodeVerifier: verifier, expectedState: state })
      .then(asLogin(place), refuse)
  } finally {
    redirect.close()
  }
}

/** In a browser anywhere else: the person types a code there, while we ask whether it was done (RFC 8628). */
export async function signInByDevice({ place, withSecondFactor, tell }: SignInOptions): Promise<IssuerLogin> {
  const issuer = await openIssuer(place)
  const { verifier, challenge } = await makeProof()
  const device = await oidc
    .initiateDeviceAuthorization(issuer, { scope: place.scope, ...challenge, ...levels(place, withSecondFactor) })
    .catch(refuse)
  await tell(new URL(device.verification_uri_complete ?? device.verification_uri), device.user_code)
  return oidc.pollDeviceAuthorizationGrant(issuer, device, { code_verifier: verifier }).then(asLogin(place), refuse)
}

/**
 * New tokens for old ones.
 * @returns undefined when the issuer gives none any more: the session has ended or was revoked there
 */
export async function renewLogin(login: IssuerLogin): Promise<IssuerLogin | undefined> {
  if (!login.refreshToken) return undefined
  const issuer = await openIssuer(login)
  try {
    return asLogin(login)(await oidc.refreshTokenGrant(issuer, login.refreshToken))
  } catch (error) {
    if (error instanceof oidc.ResponseBodyError && error.error === 'invalid_grant') return undefined
    return refuse(error)
  }
}

/** Ends the session at the issuer: it gives no new tokens for it. */
export async function revokeLogin(login: IssuerLogin): Promise<void> {
  const issuer = await openIssuer(login)
  await oidc.tokenRevocation(issuer, login.refreshToken ?? login.accessToken).catch(refuse)
}

async function openIssuer({ issuer, clientId }: Pick<SignInPlace, 'issuer' | 'clientId'>): Promise<oidc.Configuration> {
  const url = new URL(issuer)
  const isHere = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  const execute = isHere ? [oidc.allowInsecureRequests] : []
  return oidc.discovery(url, clientId, undefined, oidc.None(), { execute, timeout: 10 }).catch((cause: Error) => {
    throw new SomaError('dependency_unavailable', `The issuer ${issuer} can not be reached: ${cause.message}.`, { issuer }, { cause })
  })
}

/** That whoever fetches the tokens is who asked for them (RFC 7636). Keycloak wants it for codes that are typed as well. */
async function makeProof() {
  const verifier = oidc.randomPKCECodeVerifier()
  return { verifier, challenge: { code_challenge: await oidc.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' } }
}

function levels({ mfaLevels }: SignInPlace, withSecondFactor: boolean): { acr_values?: string } {
  return withSecondFactor && mfaLevels.length > 0 ? { acr_values: mfaLevels.join(' ') } : {}
}

function asLogin({ issuer, clientId }: Pick<SignInPlace, 'issuer' | 'clientId'>) {
  return (tokens: oidc.TokenEndpointResponse): IssuerLogin => ({
    issuer,
    clientId,
    accessToken: tokens.access_token,
    refreshToken: tokens.refresh_token,
    expiresAt: Date.now() + (tokens.expires_in ?? 60) * 1000,
  })
}

function tooLate(cause: unknown): never {
  throw new SomaError('unauthenticated', `Nobody signed in within ${PATIENCE_MILLISECONDS / 60_000} minutes.`, {}, { cause })
}

/** What the issuer said, in its words; never what was sent to it. */
function refuse(cause: unknown): never {
  const said =
    cause instanceof oidc.ResponseBodyError || cause instanceof oidc.AuthorizationResponseError
      ? `${cause.error}${cause.error_description ? `: ${cause.error_description}` : ''}`
      : (cause as Error).message
  throw new SomaError('unauthenticated', `The issuer did not sign you in: ${said}.`, {}, { cause })
}
