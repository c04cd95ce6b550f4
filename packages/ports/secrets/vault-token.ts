import { z } from 'zod'
import type { VaultClient } from './vault-client.ts'

const SOONEST_MILLISECONDS = 5_000
const LATEST_MILLISECONDS = 24 * 60 * 60 * 1000
const AGAIN_MILLISECONDS = 60_000

const Self = z.object({ data: z.object({ ttl: z.number(), renewable: z.boolean() }) })
const Renewed = z.object({ auth: z.object({ lease_duration: z.number() }) })

/**
 * Renews the token when half of its time is over, for as long as the server allows.
 * @param onTrouble when it could not be renewed; it is tried again every minute
 * @returns ends it
 */
export function keepTokenAlive(vault: VaultClient, onTrouble: (error: unknown) => void): () => void {
  let timer: NodeJS.Timeout | undefined
  let isOver = false

  const at = (milliseconds: number, work: () => Promise<void>) => {
    if (isOver) return
    timer = setTimeout(() => {
      work().catch((error: unknown) => {
        onTrouble(error)
        at(AGAIN_MILLISECONDS, work)
      })
    }, milliseconds).unref()
  }
  const atHalf = (seconds: number) => at(Math.min(Math.max((seconds * 1000) / 2, SOONEST_MILLISECONDS), LATEST_MILLISECONDS), renew)

  async function renew(): Promise<void> {
    const { auth } = await vault.ask(Renewed, { method: 'POST', path: 'auth/token/renew-self', body: {} })
    atHalf(auth.lease_duration)
  }
  async function look(): Promise<void> {
    const { data } = await vault.ask(Self, { method: 'GET', path: 'auth/token/lookup-self' })
    // A root token lasts for ever: 0 seconds.
    if (data.renewable && data.ttl > 0) atHalf(data.ttl)
  }
  at(0, look)
  return () => {
    isOver = true
    clearTimeout(timer)
  }
}
