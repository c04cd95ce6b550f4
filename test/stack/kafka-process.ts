import { openKafkaEvents } from '@soma/ports/events/kafka/driver'
import { kafkaAt } from '@soma/ports/events/kafka/testing'
import type { CloudEvent } from '@soma/ports/events/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgres } from '@soma/ports/sql/postgres'
import type pg from 'pg'

/** What a process that is going to be killed is told. */
export interface KafkaProcessOrder {
  connection: pg.PoolConfig
  brokers: string[]
  topic: string
  does: 'publish' | 'consume'
  /** Part of the ids of its events, so that no other process has them. */
  name: string
}

/** How many events a publisher confirms at a time, and after how many it goes on only as a relay. */
const BURST = 20
const MOST = 3000
const TENANTS = ['acme', 'globex', 'initech', 'umbrella']

/**
 * A process of the platform, reduced to its events: it relays, and publishes, or consumes and keeps what it got for
 * itself. Its parent kills it.
 */
process.on('message', async ({ connection, brokers, topic, does, name }: KafkaProcessOrder) => {
  const sql = await openPostgres({ connection, poolSize: 10 })
  const journal = await openPostgresJournal(sql)
  const events = await openKafkaEvents({ sql, journal, settings: kafkaAt(brokers) })
  const tell = (what: { confirmed: string[] } | { got: CloudEvent }) => process.send?.(what)
  if (does === 'consume') {
    await events.consume({ topic, group: 'g', handler: async (event) => void tell({ got: event }) })
    return
  }
  for (let first = 0; first < MOST; first += BURST) {
    const burst = Array.from({ length: BURST }, (_, index) => eventOf(`${name}-${String(first + index).padStart(6, '0')}`, first + index))
    await events.publish(topic, burst)
    tell({ confirmed: burst.map(({ id }) => id) })
  }
})

function eventOf(id: string, index: number): CloudEvent {
  return {
    specversion: '1.0',
    id,
    source: 'tests',
    type: 'soma.test.happened',
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'application/json',
    partitionkey: TENANTS[index % TENANTS.length] as string,
    data: { id },
  }
}
