import type { Broadcast } from '@soma/ports/broadcast/port'
import type { Journal } from '@soma/ports/journal/port'
import type { Secrets } from '@soma/ports/secrets/port'
import type { Sql } from '@soma/ports/sql/port'
import type { Config } from '../config/schema.ts'
import { openRevocations, type Revocations } from './revocations.ts'
import { assertRunOpen } from './run-tokens.ts'
import { openTokenKeys, type SharedTokenKeys } from './token-keys.ts'
import { createTokenIssuer, type TokenIssuer } from './tokens.ts'
import { trustedIssuers } from './trusted-issuers.ts'
import { createTokenVerifier, type VerifyToken } from './verify-token.ts'

/** Everything about tokens that a process needs: issuing, verifying, revoking. */
export interface Tokens extends TokenIssuer {
  /** Of the platform, and of the issuer that people sign in at. */
  verify: VerifyToken
  revocations: Revocations
  rotateKey: SharedTokenKeys['rotate']
  close(): Promise<void>
}

export async function openTokens(parts: {
  config: Config
  sql: Sql
  journal: Journal
  secrets: Secrets
  broadcast: Broadcast
}): Promise<Tokens> {
  const { config, journal } = parts
  const [keys, revocations] = await Promise.all([openTokenKeys(parts), openRevocations(parts)])
  return {
    ...createTokenIssuer(keys),
    verify: createTokenVerifier(trustedIssuers(config, keys), config.auth.audience, {
      async assertGood(token) {
        await revocations.assertGood(token)
        if (token.run !== undefined) await assertRunOpen(journal, token.tenant, token.run)
      },
    }),
    revocations,
    rotateKey: keys.rotate,
    close: async () => {
      await Promise.all([keys.close(), revocations.close()])
    },
  }
}
