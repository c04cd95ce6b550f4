import { randomUUID } from 'node:crypto'
import { Consumer, ListOffsetTimestamps } from '@platformatic/kafka'
import type { CloudEvent } from '../port.ts'
import { eventOf } from './record.ts'
import { clientOptions, type KafkaSettings } from './settings.ts'

export function kafkaAt(brokers: readonly string[]): KafkaSettings {
  return { brokers, saslMechanism: 'SCRAM-SHA-512', tls: false, partitions: 6, replicas: 1 }
}

/** How many records a topic has ever got; none when it is not there yet. */
export async function countTopic(settings: KafkaSettings, topic: string): Promise<number> {
  const client = new Consumer({ ...clientOptions(settings), groupId: randomUUID() })
  try {
    const end = await client.listOffsets({ topics: [topic], timestamp: ListOffsetTimestamps.LATEST }).catch(() => undefined)
    return Number(end?.get(topic)?.reduce((sum, offset) => sum + offset, 0n) ?? 0)
  } finally {
    await client.close(true)
  }
}

/** What is in a topic now, partition by partition: as anybody reads it who knows nothing of us. */
export async function readTopic(settings: KafkaSettings, topic: string): Promise<CloudEvent[]> {
  const client = new Consumer({ ...clientOptions(settings), groupId: randomUUID(), maxWaitTime: 100 })
  const events: CloudEvent[] = []
  try {
    const first = await client.listOffsets({ topics: [topic], timestamp: ListOffsetTimestamps.EARLIEST })
    const end = await client.listOffsets({ topics: [topic], timestamp: ListOffsetTimestamps.LATEST })
    const missing = new Map(end.get(topic)?.map((offset, partition) => [partition, offset - (first.get(topic)?.[partition] ?? 0n)]))
    let count = [...missing.values()].reduce((sum, each) => sum + each, 0n)
    if (count === 0n) return []
    const stream = await client.consume({ topics: [topic], mode: 'earliest', autocommit: false })
    for await (const { key, value, headers } of stream) {
      events.push(eventOf({ key, value, headers: [...headers] }))
      if (--count === 0n) break
    }
    return events
  } finally {
    await client.close(true)
  }
}
