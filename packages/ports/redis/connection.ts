import { SomaError } from '@soma/contracts/errors'
import { Redis as Client, type RedisOptions } from 'ioredis'

/** Where Redis is: one server by its URL, or the Sentinels that know which server is the primary. */
export interface RedisSettings {
  url?: string
  /** `host:port` of each. */
  sentinels: readonly string[]
  /** Under which the Sentinels know the primary. */
  sentinelName: string
  username?: string
  password?: string
  sentinelPassword?: string
  /** Stands before every key and channel, for platforms that share a server. */
  prefix: string
}

/** Together five seconds: no call takes longer. */
const WAIT_FOR_CONNECTION_MILLISECONDS = 2_000
const COMMAND_MILLISECONDS = 3_000
const RECONNECT_AFTER_MILLISECONDS = 200
const SENTINEL_MILLISECONDS = 1_000

/** One connection to the primary. It follows a failover and comes back by itself. */
export interface Connection {
  readonly client: Client
  /**
   * Does something with the connection: within five seconds or not at all, and at once not at all while Redis has been away for more than
   * two. What fails may still have been done.
   * @throws `dependency_unavailable`
   */
  run<Answer>(work: (client: Client) => Promise<Answer>): Promise<Answer>
  close(): void
}

/** @throws `invalid_input` for settings that lead nowhere. Whether Redis is there shows at the first `run`. */
export function openConnection(settings: RedisSettings): Connection {
  const client = createClient(settings)
  let lastFailure = 'no answer in time'
  let awaySince: number | undefined = performance.now()
  let isClosed = false
  client.on('error', (error: Error) => {
    lastFailure = error.message
  })
  client.on('ready', () => {
    awaySince = undefined
  })
  client.on('close', () => {
    awaySince ??= performance.now()
  })
  // The client gives up for good when it hears of a failover just while it asks the Sentinels, so it is set going again.
  client.on('end', () => {
    if (!isClosed) setTimeout(connectAgain, RECONNECT_AFTER_MILLISECONDS)
  })

  function connectAgain(): void {
    // What keeps it from connecting comes as an `error` as well.
    if (!isClosed) client.connect().catch(() => undefined)
  }

  async function becomeReady(): Promise<void> {
    const patience = (awaySince ?? performance.now()) + WAIT_FOR_CONNECTION_MILLISECONDS - performance.now()
    if (isClosed || patience <= 0 || !(await isReadyWithin(client, patience))) throw new Error(lastFailure)
  }

  return {
    client,
    run: async (work) => {
      try {
        if (client.status !== 'ready') await becomeReady()
        return await work(client)
      } catch (error) {
        if (SomaError.is(error)) throw error
        throw unavailable(settings, awaySince === undefined && error instanceof Error ? error.message : lastFailure)
      }
    },
    close: () => {
      isClosed = true
      client.disconnect()
    },
  }
}

/** Connects in the background. */
function createClient(settings: RedisSettings): Client {
  const options: RedisOptions = {
    connectTimeout: COMMAND_MILLISECONDS,
    commandTimeout: COMMAND_MILLISECONDS,
    // A server that hangs is left, for the Sentinels may know of another.
    socketTimeout: COMMAND_MILLISECONDS,
    retryStrategy: (times) => Math.min(times * 20, RECONNECT_AFTER_MILLISECONDS),
    // A primary that was demoted refuses writes.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
    // Nothing is queued or sent twice: what was under way when the connection broke may have been done or not, and its caller decides.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
  }
  if (settings.url) return new Client(settings.url, options)
  if (settings.sentinels.length === 0)
    throw new SomaError(
      'invalid_input',
      'Nothing says where Redis is. Set SOMA_REDIS_URL, or SOMA_REDIS_SENTINELS for a group with Sentinels.',
    )
  return new Client({
    ...options,
    sentinels: settings.sentinels.map(addressOf),
    name: settings.sentinelName,
    username: settings.username,
    password: settings.password,
    sentinelPassword: settings.sentinelPassword,
    sentinelCommandTimeout: SENTINEL_MILLISECONDS,
    sentinelRetryStrategy: () => RECONNECT_AFTER_MILLISECONDS,
    // A primary that is cut off from the Sentinels, but not from us, is left as soon as they have chosen another.
    failoverDetector: true,
    sentinelReconnectStrategy: () => SENTINEL_MILLISECONDS,
  })
}

function addressOf(sentinel: string): { host: string; port: number } {
  const { hostname, port } = new URL(`redis://${sentinel}`)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 26_379) }
}

function isReadyWithin(client: Client, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isReady: boolean) => {
      clearTimeout(timer)
      client.off('ready', onReady)
      resolve(isReady)
    }
    const onReady = () => settle(true)
    const timer = setTimeout(settle, milliseconds, false)
    client.on('ready', onReady)
  })
}

/** Without the client's error as its cause: that one carries the command with all it was given, passwords included. */
function unavailable(settings: RedisSettings, reason: string): SomaError {
  const where = settings.url ? new URL(settings.url).host : `${settings.sentinelName} behind ${settings.sentinels.join(', ')}`
  const what = settings.url ? 'SOMA_REDIS_URL' : 'SOMA_REDIS_SENTINELS and its passwords'
  return new SomaError(
    'dependency_unavailable',
    `Redis (${where}) does not do its work: ${reason.replace(/\.$/, '')}. See that it runs, or correct ${what}.`,
    {
      dependency: 'redis',
    },
  )
}
