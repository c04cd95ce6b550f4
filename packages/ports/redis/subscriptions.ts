import type { Connection } from './connection.ts'

const ALIVE_EVERY_MILLISECONDS = 2_000

interface Listener {
  handler(message: string): void
  onReconnect?(): void
}

/** Channels that are listened to, on a connection of their own: it subscribes again by itself when it was lost. */
export function createSubscriptions({ client, run }: Connection) {
  const listeners = new Map<string, Set<Listener>>()
  let isNew = true

  client.on('message', (channel: string, message: string) => {
    for (const listener of [...(listeners.get(channel) ?? [])]) if (listeners.get(channel)?.has(listener)) listener.handler(message)
  })
  client.on('ready', async () => {
    const wasLost = !isNew
    isNew = false
    if (!wasLost || listeners.size === 0) return
    try {
      await client.subscribe(...listeners.keys())
    } catch {
      // Without its subscriptions the connection is of no use.
      client.disconnect(true)
      return
    }
    for (const listener of [...listeners.values()].flatMap((all) => [...all])) listener.onReconnect?.()
  })
  // Nothing is heard from a server that vanished without a word, so it is asked; a question without an answer ends the connection.
  const asking = setInterval(() => {
    if (client.status === 'ready') client.ping().catch(() => undefined)
  }, ALIVE_EVERY_MILLISECONDS).unref()

  function remove(channel: string, listener: Listener): void {
    const together = listeners.get(channel)
    together?.delete(listener)
    if (together?.size !== 0) return
    listeners.delete(channel)
    // On a lost connection there is nothing to end.
    if (client.status === 'ready') client.unsubscribe(channel).catch(() => undefined)
  }

  return {
    listen: async (channel: string, handler: Listener['handler'], onReconnect?: Listener['onReconnect']): Promise<() => void> => {
      const listener: Listener = { handler, onReconnect }
      listeners.set(channel, (listeners.get(channel) ?? new Set()).add(listener))
      try {
        await run(() => client.subscribe(channel))
      } catch (error) {
        remove(channel, listener)
        throw error
      }
      return () => remove(channel, listener)
    },
    close: () => {
      clearInterval(asking)
      listeners.clear()
    },
  }
}
