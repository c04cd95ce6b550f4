import { type Consumer, initProducerIdV4 } from '@platformatic/kafka'
import type { Journal } from '../../journal/port.ts'
import type { Sql } from '../../sql/port.ts'
import type { GroupLocks, Turn } from '../group-locks.ts'
import { readPage } from '../journal-page.ts'
import { pause } from '../pause.ts'
import type { Topics } from '../views.ts'
import { createFailures } from './failures.ts'
import type { Producer } from './partition-end.ts'
import { createSender } from './sender.ts'
import type { KafkaTopics } from './topics.ts'

/** Entries that are read and sent together. */
const PAGE = 1000
/** Milliseconds between two looks at the journal when nothing says that there is something. */
const POLL = 1000
/** Appends come in bursts: milliseconds between hearing of one and looking. */
const SETTLE = 5
/** Milliseconds between two attempts to become the relay while another process is. */
const STAND_BY = 250
/** Milliseconds between two times that the position is written down: what was sent since is found in the topics. */
const NOTE_EVERY = 500
/** Topics have no slash in their names, so no group has this place. */
const RELAY = 'kafka/relay'
const INIT_TIMEOUT = 10_000

export interface RelayParts {
  sql: Sql
  journal: Journal
  topics: Topics
  locks: GroupLocks
  client: Consumer
  kafkaTopics: KafkaTopics
  /** Topics that are made when it begins. */
  standing: readonly string[]
}

export interface Relay {
  /** Says that there may be something to send. */
  wake(): void
  stop(): Promise<void>
}

/**
 * Sends what the journal holds to Kafka, in its order, until it is stopped. One process does at a time: whoever holds the lock. While
 * the brokers do not answer, events wait in the journal.
 */
export function startRelay(parts: RelayParts): Relay {
  const { sql, journal, topics, locks, client, kafkaTopics, standing } = parts
  const stopping = new AbortController()
  let hint = new AbortController()
  const failures = createFailures("Events wait in the journal, as the relay to Kafka can't send")
  const done = work()

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        const { id: cluster } = await client.metadata({ topics: [] })
        await sql.platform.query('insert into events.groups values ($1, $2, 0) on conflict do nothing', [RELAY, cluster])
        const turn = await locks.take(RELAY, cluster)
        if (turn) await workInTurn(turn, cluster).finally(() => turn.release())
        else await pause(STAND_BY, stopping.signal)
      } catch (error) {
        if (stopping.signal.aborted) return
        kafkaTopics.forget()
        client.clearMetadata()
        await failures.pauseAfter(error, stopping.signal)
      }
    }
  }

  async function workInTurn(turn: Turn, cluster: string): Promise<void> {
    for (const topic of standing) await kafkaTopics.find(topic)
    const sender = createSender(client, kafkaTopics, await producerOf(cluster))
    let read = await turn.position()
    let noted = { position: read, at: 0 }
    let underWay: Promise<string> = Promise.resolve(read)
    while (!stopping.signal.aborted && turn.isHeld()) {
      hint = new AbortController()
      const page = await readPage(journal, { ...topics.everyEntry, after: read, limit: PAGE })
      const outgoing = page.entries.map((entry) => ({ ...topics.eventOf(entry), position: entry.position }))
      // The next page is read while this one is on its way.
      const sent = await underWay
      if (sent !== noted.position && Date.now() - noted.at > NOTE_EVERY) {
        await turn.moveTo(sent)
        noted = { position: sent, at: Date.now() }
      }
      underWay = sender.send(outgoing).then(() => {
        failures.reset()
        return page.end
      })
      underWay.catch(() => undefined)
      read = page.end
      if (page.isLast) {
        await underWay
        await pause(POLL, hint.signal)
        await pause(SETTLE, stopping.signal)
      }
    }
    await turn.moveTo(await underWay)
  }

  /** All relays of one journal are one producer to a cluster. */
  async function producerOf(cluster: string): Promise<Producer> {
    const { rows } = await sql.platform.query('select producer_id, epoch from events.kafka_producers where cluster = $1', [cluster])
    if (rows[0]) return { id: BigInt(rows[0].producer_id), epoch: rows[0].epoch }
    const [connection] = (await client.connectToBrokers()).values()
    if (!connection) throw new Error('No broker answers.')
    const { producerId, producerEpoch } = await initProducerIdV4.api.async(connection, null, INIT_TIMEOUT, -1n, -1)
    await sql.platform.query('insert into events.kafka_producers values ($1, $2, $3)', [cluster, producerId, producerEpoch])
    return { id: producerId, epoch: producerEpoch }
  }

  return {
    wake: () => hint.abort(),
    async stop() {
      stopping.abort()
      hint.abort()
      await done
    },
  }
}
