import { SomaError } from '@soma/contracts/errors'
import { requireJson, requireName } from '@soma/contracts/requirements'
import type { Redis } from '../redis/redis.ts'
import type { Broadcast } from './port.ts'
import { warnIfThrows } from './warn-if-throws.ts'

/** The broadcast port on Redis: one listening connection a process, whatever the number of channels. */
export function openRedisBroadcast(redis: Redis): Broadcast {
  let closed = false

  function channelOf(channel: string): string {
    requireName('channel', channel)
    if (closed) throw new SomaError('shutting_down', `The broadcast is closed, so "${channel}" can not be used. Start again to use it.`)
    return `${redis.prefix}:broadcast:${channel}`
  }

  return {
    publish: async (channel, message) => {
      const to = channelOf(channel)
      const json = requireJson(`message on "${channel}"`, message)
      await redis.run((client) => client.publish(to, json))
    },
    subscribe: async (channel, handler, onReconnect) => {
      const stop = await redis.listen(
        channelOf(channel),
        (json) => warnIfThrows(() => handler(JSON.parse(json) as unknown)),
        () => warnIfThrows(() => onReconnect?.()),
      )
      return async () => stop()
    },
    version: () => redis.version(),
    close: async () => {
      closed = true
      redis.close()
    },
  }
}
