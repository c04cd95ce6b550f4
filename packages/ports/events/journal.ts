import { SomaError } from '@soma/contracts/errors'
import { requireName } from '@soma/contracts/requirements'
import { appendOnce } from '../journal/append-once.ts'
import type { Journal } from '../journal/port.ts'
import type { Migration, Sql } from '../sql/port.ts'
import { type Consumer, startConsumer, streamPrefix } from './consumer.ts'
import { createGroupLocks } from './group-locks.ts'
import type { CloudEvent, Events } from './port.ts'
import { requireEvent, requireTopic } from './rules.ts'

const MIGRATIONS: readonly Migration[] = [
  {
    name: '001-groups',
    up: `create table groups (topic text collate "C", name text collate "C", position bigint not null, primary key (topic, name))`,
  },
]

/**
 * The events port on the journal: its tail is the event log. An event is a stream of its own, named after its id, so the journal's
 * numbering of streams keeps an id from being added twice, whoever publishes.
 */
export async function openJournalEvents({ sql, journal }: { sql: Sql; journal: Journal }): Promise<Events> {
  await sql.migrate('events', MIGRATIONS)
  const locks = createGroupLocks(sql)
  const consumers = new Set<Consumer>()
  const stopHearing = journal.onAppend(() => {
    for (const consumer of consumers) consumer.wake()
  })
  let closed = false

  function refuseWhenClosed(): void {
    if (closed) throw new SomaError('shutting_down', 'The events are closed. Start again to use them.')
  }

  async function publish(topic: string, events: readonly CloudEvent[]): Promise<void> {
    const appends = [...new Map(events.map((event) => [streamOf(topic, event), appendOf(topic, event)])).values()]
    if (appends.length === 0) return
    try {
      await journal.append(...appends)
    } catch (error) {
      if (!SomaError.is(error, 'stream_conflict')) throw error
      await Promise.all(appends.map((append) => appendOnce(journal, append)))
    }
  }

  return {
    async publish(topic, events) {
      refuseWhenClosed()
      requireTopic(topic)
      for (const event of events) requireEvent(event)
      await publish(topic, events)
    },
    async consume(options) {
      refuseWhenClosed()
      const { topic, group, from = 'earliest', attempts } = options
      requireTopic(topic)
      requireName('group', group)
      requireAttempts(attempts)
      const start = from === 'earliest' ? '0' : '(select coalesce(max(position), 0) from journal.entries)'
      await sql.pool.query(`insert into events.groups values ($1, $2, ${start}) on conflict do nothing`, [topic, group])
      const consumer = startConsumer({ journal, locks, publish }, options)
      consumers.add(consumer)
      return {
        async stop() {
          await consumer.stop()
          consumers.delete(consumer)
        },
      }
    },
    async rewind(topic, group) {
      refuseWhenClosed()
      requireTopic(topic)
      requireName('group', group)
      const turn = await locks.take(topic, group)
      if (!turn) {
        throw new SomaError('conflict', `Group "${group}" of topic "${topic}" is being consumed. Stop its consumers, then rewind it.`, {
          topic,
          group,
        })
      }
      await turn.moveTo('0').finally(() => turn.release())
    },
    version: () => sql.version(),
    async close() {
      closed = true
      stopHearing()
      await Promise.all([...consumers].map((consumer) => consumer.stop()))
      await locks.close()
    },
  }
}

const streamOf = (topic: string, event: CloudEvent) => `${streamPrefix(topic)}${event.partitionkey}/${event.id}`

function appendOf(topic: string, event: CloudEvent) {
  return {
    tenant: event.partitionkey,
    stream: streamOf(topic, event),
    expectedSeq: 0,
    entries: [{ kind: 'event.published', payload: event }],
  }
}

function requireAttempts(attempts = 1): void {
  if (Number.isInteger(attempts) && attempts >= 1) return
  throw new SomaError('invalid_input', `attempts is ${attempts}; it must be a whole number of at least 1.`, { attempts })
}
