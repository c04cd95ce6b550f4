import { SomaError } from '@soma/contracts/errors'
import type { Principal } from '@soma/contracts/tenant'
import { looksLikeApiKey } from './verify-api-key.ts'

export interface Verifiers {
  apiKey(key: string): Promise<Principal>
  token(token: string): Promise<Principal>
}

/**
 * Who sends a request, by `Authorization: Bearer`: an API key or a token.
 * @returns a function that throws `unauthenticated`
 */
export function createAuthenticate(verify: Verifiers): (headers: { authorization?: string }) => Promise<Principal> {
  return async ({ authorization }) => {
    if (!authorization)
      throw new SomaError('unauthenticated', 'The request shows no credentials. Send "Authorization: Bearer" with an API key or a token.')
    const [, credentials] = /^Bearer +(\S{1,8192})$/i.exec(authorization) ?? []
    if (!credentials) throw new SomaError('unauthenticated', 'The Authorization header must be "Bearer" and an API key or a token.')
    return looksLikeApiKey(credentials) ? verify.apiKey(credentials) : verify.token(credentials)
  }
}
