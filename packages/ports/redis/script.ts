import { createHash } from 'node:crypto'
import type { Redis as Client } from 'ioredis'

/** Lua that the server runs in one step. It is sent once; from then on the server knows it by its digest. */
export function defineScript<Answer>(lua: string) {
  const digest = createHash('sha1').update(lua).digest('hex')
  return async (client: Client, keys: readonly string[], args: readonly (string | number)[]): Promise<Answer> => {
    try {
      return (await client.evalsha(digest, keys.length, ...keys, ...args)) as Answer
    } catch (error) {
      // A server that was restarted or became the primary has not seen it.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return (await client.eval(lua, keys.length, ...keys, ...args)) as Answer
    }
  }
}
