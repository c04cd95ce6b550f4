import { Admin, Consumer, ListOffsetTimestamps } from '@platformatic/kafka'
import type { CloudEvent } from '../port.ts'
import { offsetAt, readBatches } from './read-batches.ts'
import { eventOf } from './record.ts'
import { clientOptions, type KafkaSettings } from './settings.ts'
import { createKafkaTopics, type KafkaTopic } from './topics.ts'

export function kafkaAt(brokers: readonly string[]): KafkaSettings {
  return { brokers, saslMechanism: 'SCRAM-SHA-512', tls: false, partitions: 6, replicas: 1 }
}

/** How many records a topic has ever got; it is made when it is not there yet. */
export function countTopic(settings: KafkaSettings, name: string): Promise<number> {
  return withTopic(settings, name, async (client, topic) => {
    let count = 0
    for (const partition of partitionsOf(topic)) count += Number(await offsetAt(client, topic, partition, ListOffsetTimestamps.LATEST))
    return count
  })
}

/** What is in a topic now, partition by partition: as anybody reads it who knows nothing of us. */
export function readTopic(settings: KafkaSettings, name: string): Promise<CloudEvent[]> {
  return withTopic(settings, name, async (client, topic) => {
    const events: CloudEvent[] = []
    for (const partition of partitionsOf(topic)) {
      const from = await offsetAt(client, topic, partition, ListOffsetTimestamps.EARLIEST)
      const end = await offsetAt(client, topic, partition, ListOffsetTimestamps.LATEST)
      for await (const { records } of readBatches(client, topic, partition, { from, end })) events.push(...records.map(eventOf))
    }
    return events
  })
}

const partitionsOf = (topic: KafkaTopic) => Array.from({ length: topic.partitions }, (_, partition) => partition)

async function withTopic<Result>(
  settings: KafkaSettings,
  name: string,
  work: (client: Consumer, topic: KafkaTopic) => Promise<Result>,
): Promise<Result> {
  const admin = new Admin(clientOptions(settings))
  const client = new Consumer({ ...clientOptions(settings), retries: 20, groupId: 'tests' })
  try {
    return await work(client, await createKafkaTopics(admin, settings).find(name))
  } finally {
    await Promise.all([client.close(true), admin.close()])
  }
}
