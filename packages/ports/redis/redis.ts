import { type Connection, openConnection, type RedisSettings } from './connection.ts'
import { createSubscriptions } from './subscriptions.ts'

/** What the drivers on Redis share: one connection for commands and one that listens. */
export interface Redis {
  /** @throws `dependency_unavailable`, as `Connection.run` says */
  run: Connection['run']
  /**
   * Calls `handler` with each message of a channel. Goes on by itself after the connection was lost.
   * @param onReconnect is called when messages may have been missed
   * @returns how to stop
   * @throws `dependency_unavailable`
   */
  listen(channel: string, handler: (message: string) => void, onReconnect?: () => void): Promise<() => void>
  /** Stands before every key and channel of this platform. */
  readonly prefix: string
  /** Of the server, as it says it. @throws `dependency_unavailable` */
  version(): Promise<string>
  close(): void
}

/** @throws `dependency_unavailable` when Redis can't be reached now; `invalid_input` for settings that lead nowhere */
export async function openRedis(settings: RedisSettings): Promise<Redis> {
  const [commands, listening] = [openConnection(settings), openConnection(settings)]
  const subscriptions = createSubscriptions(listening)
  const redis: Redis = {
    prefix: settings.prefix,
    run: commands.run,
    listen: subscriptions.listen,
    version: async () => {
      const about = await commands.run((client) => client.info('server'))
      return /^redis_version:(\S+)/m.exec(about)?.[1] ?? 'unknown'
    },
    close: () => {
      subscriptions.close()
      listening.close()
      commands.close()
    },
  }
  try {
    await redis.version()
    return redis
  } catch (error) {
    redis.close()
    throw error
  }
}

const shared = new WeakMap<RedisSettings, { redis: Promise<Redis>; users: number }>()

/**
 * The same pair of connections for all who bring the same settings object. Whoever closes it stops listening; the last one closes the
 * connections.
 */
export async function shareRedis(settings: RedisSettings): Promise<Redis> {
  const share = shared.get(settings) ?? { redis: openRedis(settings), users: 0 }
  shared.set(settings, share)
  share.users++
  try {
    return forOneUser(await share.redis, () => leave(settings))
  } catch (error) {
    leave(settings)
    throw error
  }
}

function leave(settings: RedisSettings): void {
  const share = shared.get(settings)
  if (!share || --share.users > 0) return
  shared.delete(settings)
  share.redis.then((redis) => redis.close()).catch(() => undefined)
}

function forOneUser(redis: Redis, leave: () => void): Redis {
  const stops = new Set<() => void>()
  let isOpen = true
  return {
    ...redis,
    listen: async (...asked) => {
      const stop = await redis.listen(...asked)
      if (isOpen) stops.add(stop)
      else stop()
      return () => {
        stops.delete(stop)
        stop()
      }
    },
    close: () => {
      if (!isOpen) return
      isOpen = false
      for (const stop of stops) stop()
      leave()
    },
  }
}
