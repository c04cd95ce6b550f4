import { SomaError } from '@soma/contracts/errors'
import { requireJson, requireName } from '@soma/contracts/requirements'
import type { Migration, Sql } from '../sql/port.ts'
import type { Broadcast } from './port.ts'
import { asError, warnIfThrows } from './warn-if-throws.ts'

const CHANNEL = 'soma_broadcast'
/** NOTIFY refuses payloads of 8000 bytes and more. */
const LONGEST_PAYLOAD = 7_999

const MIGRATIONS: Migration[] = [
  {
    name: '001-large-messages',
    // Unlogged: a message that nobody heard before the server crashed is not owed to anybody.
    up: `
      create unlogged table large_messages (id bigint generated always as identity primary key, message text not null, at timestamptz not null default now());
      create index large_messages_at on large_messages (at)`,
  },
]

interface Subscription {
  handler(message: unknown): void
  onReconnect?(): void
}

/** What NOTIFY carries: the message, or where it lies when it is too large. */
type Payload = { channel: string; message: unknown } | { id: string }

/** The broadcast port on LISTEN/NOTIFY: one listening connection a process, whatever the number of channels. */
export async function openPostgresBroadcast(sql: Sql): Promise<Broadcast> {
  await sql.migrate('broadcast', MIGRATIONS)
  const subscriptions = new Map<string, Set<Subscription>>()
  let listening: Promise<() => Promise<void>> | undefined
  let closed = false
  /** The messages before are handed out first, also when they had to be read from their row. */
  let earlier = Promise.resolve()

  function refuseWhenClosed(channel: string): void {
    if (closed) throw new SomaError('shutting_down', `The broadcast is closed, so "${channel}" can not be used. Start again to use it.`)
  }

  async function receive(text: string): Promise<void> {
    try {
      const payload = JSON.parse(text) as Payload
      const message = 'id' in payload ? await readLargeMessage(sql, payload.id) : payload
      if (!message) return
      for (const subscription of [...(subscriptions.get(message.channel) ?? [])]) {
        if (subscriptions.get(message.channel)?.has(subscription)) warnIfThrows(() => subscription.handler(message.message))
      }
    } catch (error) {
      process.emitWarning(asError(error))
      tellOfGap()
    }
  }

  function tellOfGap(): void {
    for (const subscription of [...subscriptions.values()].flatMap((all) => [...all])) warnIfThrows(() => subscription.onReconnect?.())
  }

  async function listen(): Promise<void> {
    listening ??= sql.listen(
      CHANNEL,
      (text) => {
        earlier = earlier.then(() => receive(text))
      },
      tellOfGap,
    )
    try {
      await listening
    } catch (error) {
      listening = undefined
      throw error
    }
  }

  return {
    publish: async (channel, message) => {
      requireName('channel', channel)
      refuseWhenClosed(channel)
      const json = requireJson(`message on "${channel}"`, message)
      const payload = `{"channel":${JSON.stringify(channel)},"message":${json}}`
      if (Buffer.byteLength(payload) <= LONGEST_PAYLOAD) await sql.notify(CHANNEL, payload)
      else await publishLargeMessage(sql, payload)
    },
    subscribe: async (channel, handler, onReconnect) => {
      requireName('channel', channel)
      refuseWhenClosed(channel)
      const subscription: Subscription = { handler, onReconnect }
      await listen()
      const together = subscriptions.get(channel) ?? new Set()
      subscriptions.set(channel, together.add(subscription))
      return async () => {
        together.delete(subscription)
        if (together.size === 0 && subscriptions.get(channel) === together) subscriptions.delete(channel)
      }
    },
    version: () => sql.version(),
    close: async () => {
      closed = true
      subscriptions.clear()
      await (await listening)?.()
    },
  }
}

async function publishLargeMessage(sql: Sql, payload: string): Promise<void> {
  await sql.platform.query(
    `with stored as (insert into broadcast.large_messages (message) values ($1) returning id)
     select pg_notify('${CHANNEL}', json_build_object('id', id::text)::text) from stored`,
    [payload],
  )
  // Listeners read a message the moment they hear of it; one who could not within five minutes was away.
  await sql.platform.query("delete from broadcast.large_messages where at < now() - interval '5 minutes'")
}

/** Undefined when the row is gone: the listener was away for so long that it has missed the message, and is told so when it reconnects. */
async function readLargeMessage(sql: Sql, id: string): Promise<{ channel: string; message: unknown } | undefined> {
  const { rows } = await sql.platform.query('select message from broadcast.large_messages where id = $1', [id])
  const row = rows[0] as { message: string } | undefined
  return row && (JSON.parse(row.message) as { channel: string; message: unknown })
}
