import pg from 'pg'

/** Calls `handler` with each NOTIFY on the channel, over a connection of its own that comes back by itself. Returns how to stop. */
export async function listen(
  connection: pg.ClientConfig,
  channel: string,
  handler: (payload: string) => void,
  onReconnect?: () => void,
): Promise<() => Promise<void>> {
  let stopped = false
  let client: pg.Client
  let retry: NodeJS.Timeout | undefined
  /** An attempt that fails is told of twice, by its error and by its connection's end; only the later of them starts the next. */
  const reconnectAfter = (milliseconds: number) => {
    clearTimeout(retry)
    if (!stopped) retry = setTimeout(() => void reconnect(), milliseconds)
  }
  const connect = async () => {
    client = new pg.Client(connection)
    client.on('notification', (message) => handler(message.payload ?? ''))
    client.on('error', () => undefined)
    client.on('end', () => reconnectAfter(250))
    await client.connect()
    await client.query(`listen ${pg.escapeIdentifier(channel)}`)
  }
  const reconnect = async () => {
    try {
      await connect()
      onReconnect?.()
    } catch {
      reconnectAfter(1000)
    }
  }
  await connect()
  return async () => {
    stopped = true
    clearTimeout(retry)
    await client.end().catch(() => undefined)
  }
}
