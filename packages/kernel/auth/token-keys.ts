import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { setTimeout as pass } from 'node:timers/promises'
import { SomaError } from '@soma/contracts/errors'
import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Secrets } from '@soma/ports/secrets/port'
import { calculateJwkThumbprint, createLocalJWKSet, errors, exportJWK, type JSONWebKeySet, type JWK, type JWTVerifyGetKey } from 'jose'
import { z } from 'zod'
import { LONGEST_TOKEN_SECONDS } from './revocations.ts'
import { shareReading } from './share-reading.ts'

/** A key pair that signs tokens. */
export interface TokenKey {
  /** Thumbprint of the public key (RFC 7638), so a new key has a new id. */
  kid: string
  privateKey: KeyObject
  publicJwk: JWK
}

/** The keys of the platform's tokens. */
export interface TokenKeys {
  /** Signs what is issued now. */
  signing(): TokenKey
  /** Every public key whose tokens are taken, the newest first. */
  jwks(): JSONWebKeySet
  /** The key of a token. One that another process made a moment ago is looked for. */
  find: JWTVerifyGetKey
}

export interface SharedTokenKeys extends TokenKeys {
  /**
   * Signs with a new key from now on. The old ones are taken until the last token that they signed has expired.
   * @param options.distrustOld takes nothing of the old keys any more: for when one of them was stolen
   */
  rotate(options?: { distrustOld?: boolean }): Promise<{ kid: string }>
  close(): Promise<void>
}

/** One key that stays. */
export async function fixedTokenKey(privateKey: KeyObject): Promise<TokenKeys> {
  const key = await openKey(privateKey)
  const jwks = { keys: [key.publicJwk] }
  return { signing: () => key, jwks: () => jwks, find: createLocalJWKSet(jwks) }
}

/** The tenant under which the platform keeps its own secrets. */
const PLATFORM = 'platform'
/** Each version of it is a key; the newest signs. */
const SECRET = 'keys/access-tokens'
const CHANNEL = 'token-keys'
const LOOK_EVERY_MILLISECONDS = 60_000
/** A token with an unknown key makes a process look, and anybody can send one. */
const LEAST_BETWEEN_LOOKS_MILLISECONDS = 1000

const StoredKey = z.object({
  privateKey: z.string(),
  /** Milliseconds since 1970. */
  madeAt: z.number(),
  /** The oldest version whose tokens are still taken. */
  trustedFrom: z.number().int(),
})
type VersionedKey = TokenKey & Omit<z.infer<typeof StoredKey>, 'privateKey'>

/** The keys that all processes of the platform share, kept as versions of a secret; the first is made at the first start. */
export async function openTokenKeys({ secrets, broadcast }: { secrets: Secrets; broadcast: Broadcast }): Promise<SharedTokenKeys> {
  const known = new Map<number, VersionedKey>()
  let signing: TokenKey
  let jwks: JSONWebKeySet
  let findKnown: JWTVerifyGetKey
  let lookedAt = Number.NEGATIVE_INFINITY

  const newestVersion = async () => (await secrets.list(PLATFORM, SECRET)).find(({ name }) => name === SECRET)?.version

  async function readVersion(version: number): Promise<VersionedKey> {
    const before = known.get(version)
    if (before) return before
    const text = await secrets.read(PLATFORM, SECRET, version)
    if (text === undefined) throw new SomaError('internal', `Version ${version} of the secret ${SECRET} is gone.`)
    const { privateKey, ...stored } = StoredKey.parse(JSON.parse(text))
    const key = { ...(await openKey(createPrivateKey(privateKey))), ...stored }
    known.set(version, key)
    return key
  }

  async function writeKey(trustedFrom: number): Promise<number> {
    const privateKey = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
    const { version } = await secrets.write(PLATFORM, SECRET, JSON.stringify({ privateKey, madeAt: Date.now(), trustedFrom }))
    return version
  }

  const look = shareReading(async () => {
    const began = performance.now()
    const newest = (await newestVersion()) ?? (await writeKey(1))
    const keys = [await readVersion(newest)] as [VersionedKey, ...VersionedKey[]]
    const { trustedFrom } = keys[0]
    for (let version = newest - 1; version >= trustedFrom && mayHaveValidTokens(keys.at(-1) as VersionedKey); version--)
      keys.push(await readVersion(version))
    signing = keys[0]
    jwks = { keys: keys.map(({ publicJwk }) => publicJwk) }
    findKnown = createLocalJWKSet(jwks)
    lookedAt = began
  })

  /** Looks after `askedAt`, though not more often than is allowed. */
  async function lookAfter(askedAt: number): Promise<void> {
    await pass(Math.max(0, lookedAt + LEAST_BETWEEN_LOOKS_MILLISECONDS - performance.now()))
    if (lookedAt < askedAt) await look()
  }

  await look()
  const lookNow = () => look().catch(() => undefined)
  const stopListening = await broadcast.subscribe(CHANNEL, lookNow, lookNow)
  const timer = setInterval(lookNow, LOOK_EVERY_MILLISECONDS).unref()

  return {
    signing: () => signing,
    jwks: () => jwks,
    async find(header, token) {
      const askedAt = performance.now()
      try {
        return await findKnown(header, token)
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
        await lookAfter(askedAt)
        return findKnown(header, token)
      }
    },
    async rotate({ distrustOld = false } = {}) {
      const newest = (await newestVersion()) ?? 0
      await writeKey(distrustOld || newest === 0 ? newest + 1 : (await readVersion(newest)).trustedFrom)
      await look()
      await broadcast.publish(CHANNEL, {})
      return { kid: signing.kid }
    },
    async close() {
      clearInterval(timer)
      await stopListening()
    },
  }
}

/** True while tokens may be good that were signed before this key took over. */
function mayHaveValidTokens(successor: VersionedKey): boolean {
  return Date.now() < successor.madeAt + LONGEST_TOKEN_SECONDS * 1000
}

async function openKey(privateKey: KeyObject): Promise<TokenKey> {
  if (privateKey.asymmetricKeyType !== 'ed25519')
    throw new SomaError('invalid_input', `Tokens are signed with an Ed25519 key, not ${privateKey.asymmetricKeyType}.`)
  const jwk = await exportJWK(createPublicKey(privateKey))
  const kid = await calculateJwkThumbprint(jwk)
  return { kid, privateKey, publicJwk: { ...jwk, kid, alg: 'EdDSA', use: 'sig' } }
}
