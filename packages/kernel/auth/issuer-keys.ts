import { setTimeout as pass } from 'node:timers/promises'
import { createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey } from 'jose'
import { discoverIssuer, readKeys } from './read-issuer.ts'

/**
 * How often the keys are asked for at the most: an unknown key in a token asks for them, and anybody can send one. Also how long such
 * a token may wait for that, in milliseconds.
 */
const COOLDOWN = 1000

/**
 * The keys of an issuer, asked for at the first token, kept for ten minutes, and asked for again when a token names one that is not
 * among them: a new key of the issuer is known from its first token on.
 * @param jwksUrl where they are; else the discovery document says it
 * @returns a function that throws `dependency_unavailable` when the keys can not be had, within seconds
 */
export function createIssuerKeys({ issuer, jwksUrl }: { issuer: string; jwksUrl?: string }): JWTVerifyGetKey {
  const discover = notTooSoon(() => discoverIssuer(issuer))
  let keys: Promise<IssuerKeys> | undefined
  const open = async () => openKeys(issuer, new URL(jwksUrl ?? (await discover()).jwks_uri))

  return async (header, token) => {
    const askedAt = Date.now()
    keys ??= open()
    keys.catch(() => {
      keys = undefined
    })
    const { find, waitForNewer } = await keys
    try {
      return await find(header, token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey) || !(await waitForNewer(askedAt))) throw error
      return find(header, token)
    }
  }
}

interface IssuerKeys {
  find: JWTVerifyGetKey
  /** False when the keys that are known were asked for after `askedAt`. Otherwise waits until they may be asked for again. */
  waitForNewer(askedAt: number): Promise<boolean>
}

function openKeys(issuer: string, url: URL): IssuerKeys {
  let begunAt = 0
  const read = notTooSoon(async () => {
    begunAt = Date.now()
    return readKeys(issuer, url)
  })
  const find = createRemoteJWKSet(url, { cooldownDuration: COOLDOWN, [customFetch]: async () => Response.json(await read()) })
  return {
    find,
    async waitForNewer(askedAt) {
      if (begunAt >= askedAt) return false
      while (find.coolingDown) await pass(10)
      return true
    },
  }
}

/** Asks, and after a failure gives the same answer until it is time to ask again. */
function notTooSoon<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let failure: { at: number; error: unknown } | undefined
  return async () => {
    if (failure && Date.now() - failure.at < COOLDOWN) throw failure.error
    try {
      return await ask()
    } catch (error) {
      failure = { at: Date.now(), error }
      throw error
    }
  }
}
