import type { Prepare } from './port.ts'

const CHANNEL = 'bench'

/** A message is published and heard. */
export const prepareBroadcast: Prepare<'broadcast'> = async (broadcast) => {
  const waiting = new Map<unknown, () => void>()
  await broadcast.subscribe(CHANNEL, (message) => {
    waiting.get(message)?.()
    waiting.delete(message)
  })
  return {
    async one(index) {
      const heard = new Promise<void>((resolve) => waiting.set(index, resolve))
      await broadcast.publish(CHANNEL, index)
      await heard
    },
  }
}
