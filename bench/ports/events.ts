import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '@soma/kernel/config/schema'
import type { CloudEvent } from '@soma/ports/events/port'
import { type Prepare, TENANT } from './port.ts'

const TOPIC = 'bench'
/** Events that are published in one call when there are many. */
const TOGETHER = 100
/** Milliseconds between two looks at what the topic holds. */
const LOOK_EVERY = 10

/** An event is published. Of many, the time counts in which they come into the topic: on Kafka through the journal and the relay. */
export const prepareEvents: Prepare<'events'> = async (events, { config }) => {
  const topic = config.drivers.events === 'kafka' ? await openKafkaTopic(config.kafka) : JOURNAL_TOPIC
  let published = 0
  return {
    async one(index) {
      await events.publish(TOPIC, [eventOf(`${index}`)])
      published++
    },
    async several(index) {
      const page = Array.from({ length: TOGETHER }, (_, place) => eventOf(`${index}-${place}`))
      await events.publish(TOPIC, page)
      published += page.length
      return page.length
    },
    async arrived() {
      while ((await topic.count()) < published) await pause(LOOK_EVERY)
    },
    close: async () => topic.close(),
  }
}

function eventOf(id: string): CloudEvent {
  return {
    specversion: '1.0',
    id,
    source: 'bench',
    type: 'soma.bench.noted',
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    partitionkey: TENANT,
    data: { text: 'x'.repeat(100) },
  }
}

/** Holds what was published, as that is how the journal's topics are read. */
const JOURNAL_TOPIC = { count: async () => Number.POSITIVE_INFINITY, close: async () => undefined }

/** Asks the broker over a connection of its own, which costs the relay little. */
async function openKafkaTopic(settings: Config['kafka']) {
  const [{ Consumer, ListOffsetTimestamps }, { clientOptions }, { countTopic }] = await Promise.all([
    import('@platformatic/kafka'),
    import('@soma/ports/events/kafka/settings'),
    import('@soma/ports/events/kafka/testing'),
  ])
  // Also makes the topic.
  await countTopic(settings, TOPIC)
  const client = new Consumer({ ...clientOptions(settings), groupId: 'bench' })
  const partitions = { [TOPIC]: Array.from({ length: settings.partitions }, (_, partition) => partition) }
  return {
    async count() {
      const ends = await client.listOffsets({ topics: [TOPIC], partitions, timestamp: ListOffsetTimestamps.LATEST })
      return (ends.get(TOPIC) ?? []).reduce((sum, end) => sum + Number(end), 0)
    },
    close: () => client.close(true),
  }
}
