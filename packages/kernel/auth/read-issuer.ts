import { SomaError } from '@soma/contracts/errors'
import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { z } from 'zod'

/** How long an issuer may take to answer, in milliseconds. */
const TIMEOUT = 5000

/** What is read of an issuer's discovery document (OpenID Connect Discovery 1.0, section 3). */
const Discovery = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) })

/**
 * Reads what an issuer says of itself.
 * @throws `dependency_unavailable` when it does not answer, or answers for another issuer than it was asked for
 */
export async function discoverIssuer(issuer: string): Promise<z.infer<typeof Discovery>> {
  const url = new URL(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  const document = await read(url).catch((cause: Error) => {
    throw unavailable(`The issuer ${issuer} does not answer: ${url} can not be read.`, issuer, cause)
  })
  const { data, error } = Discovery.safeParse(document)
  if (!data) throw unavailable(`${url} is no discovery document of OpenID Connect.`, issuer, error)
  if (data.issuer === issuer) return data
  throw unavailable(`${url} speaks for the issuer ${data.issuer}. Set auth.issuer to what it says, to the letter.`, issuer)
}

/**
 * The public keys that an issuer signs with.
 * @throws `dependency_unavailable`
 */
export async function readKeys(issuer: string, url: URL): Promise<JSONWebKeySet> {
  try {
    const keys = (await read(url)) as JSONWebKeySet
    // Throws for what is no set of keys.
    createLocalJWKSet(keys)
    return keys
  } catch (cause) {
    throw unavailable(`The keys of the issuer ${issuer} can not be read from ${url}.`, issuer, cause)
  }
}

/** A document, where it was said to be and nowhere else: a redirect is not followed. */
async function read(url: URL): Promise<unknown> {
  const answer = await fetch(url, { redirect: 'error', signal: AbortSignal.timeout(TIMEOUT) })
  if (!answer.ok) throw new Error(`${url} answers with status ${answer.status}.`)
  return answer.json()
}

function unavailable(message: string, issuer: string, cause?: unknown): SomaError {
  return new SomaError('dependency_unavailable', message, { issuer, retryAfterSeconds: 5 }, { cause })
}
