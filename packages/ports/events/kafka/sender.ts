import { type Connection, type Consumer, type MessageRecord, murmur2, NumericMap, ProduceAcks, produceV9 } from '@platformatic/kafka'
import type { CloudEvent } from '../port.ts'
import { type PartitionEnd, type Producer, readPartitionEnd, sequenceAfter } from './partition-end.ts'
import { recordOf } from './record.ts'
import type { KafkaTopic, KafkaTopics } from './topics.ts'

/** Bytes of one batch: brokers take 1,048,588 when nothing else is said, and an event alone may have a million. */
const MAX_BATCH_BYTES = 900_000
/** Milliseconds that the broker may take to get a batch onto all replicas. */
const PRODUCE_TIMEOUT = 20_000

export interface Outgoing {
  topic: string
  event: CloudEvent
  /** Its place in the journal. */
  position: string
}

/** One partition, as far as this relay has sent to it. */
interface Lane extends PartitionEnd {
  topic: KafkaTopic
  partition: number
}

interface Batch {
  lane: Lane
  firstSequence: number
  messages: MessageRecord[]
}

/**
 * Sends events in their order, each of them once.
 *
 * The broker takes a batch only if its sequence number follows on the last one of the producer, and all relays of one journal are
 * the same producer, one after another. So of two batches that hold the same events the broker takes one, even if they come from a
 * relay that was killed and from the one that took over while the first one's was still on its way.
 */
export function createSender(client: Consumer, topics: KafkaTopics, producer: Producer) {
  const lanes = new Map<string, Promise<Lane>>()

  async function laneOf({ topic, event }: Outgoing): Promise<Lane> {
    const found = await topics.find(topic)
    const partition = partitionFor(event.partitionkey, found.partitions)
    const name = `${topic}:${partition}`
    const lane = lanes.get(name) ?? openLane(found, partition)
    lanes.set(name, lane)
    return lane
  }

  async function openLane(topic: KafkaTopic, partition: number): Promise<Lane> {
    return { topic, partition, ...(await readPartitionEnd(client, topic, partition, producer)) }
  }

  /** The batches for each partition, in order. */
  async function pack(outgoing: readonly Outgoing[]): Promise<Batch[][]> {
    const byKey = new Map<string, Lane>()
    const byLane = new Map<Lane, Outgoing[]>()
    for (const each of outgoing) {
      const place = `${each.topic}\n${each.event.partitionkey}`
      const lane = byKey.get(place) ?? (await laneOf(each))
      byKey.set(place, lane)
      const waiting = byLane.get(lane)
      if (waiting) waiting.push(each)
      else byLane.set(lane, [each])
    }
    return [...byLane].map(([lane, waiting]) => packLane(lane, waiting))
  }

  async function produce(connection: Connection, batches: readonly Batch[]): Promise<void> {
    const sequences = new NumericMap(batches.map(({ lane, firstSequence }) => [`${lane.topic.name}:${lane.partition}`, firstSequence]))
    const messages = batches.flatMap((batch) => batch.messages)
    const options = { producerId: producer.id, producerEpoch: producer.epoch, sequences, compression: 'none' } as const
    await produceV9.api.async(connection, ProduceAcks.ALL, PRODUCE_TIMEOUT, messages, options)
  }

  return {
    /**
     * Resolves when the events are on all replicas, those that already were included.
     * @throws after which it is unknown what arrived: go on with a new sender, from what is known to be there
     */
    async send(outgoing: readonly Outgoing[]): Promise<void> {
      const packed = await pack(outgoing)
      const leaders = [...new Set(packed.flatMap((batches) => batches.map(({ lane }) => lane.topic.leaderOf(lane.partition))))]
      const connections = await client.connectToBrokers(leaders)
      const requests: Promise<void>[] = []
      // All at once: the connection keeps the order, and has a few under way at a time.
      for (let round = 0; packed.some((batches) => batches[round]); round++) {
        for (const [leader, connection] of connections) {
          const batches = packed.map((lane) => lane[round]).filter((batch) => batch?.lane.topic.leaderOf(batch.lane.partition) === leader)
          if (batches.length > 0) requests.push(produce(connection, batches as Batch[]))
        }
      }
      const failed = (await Promise.allSettled(requests)).find((outcome) => outcome.status === 'rejected')
      if (failed) throw failed.reason
    },
  }
}

export type Sender = ReturnType<typeof createSender>

/** Java's rule, so that whoever else writes to the topic puts a key where we do. */
function partitionFor(key: string, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

/** Counts the lane on: what was packed counts as sent. */
function packLane(lane: Lane, waiting: readonly Outgoing[]): Batch[] {
  const batches: Batch[] = []
  let bytes = Number.POSITIVE_INFINITY
  for (const { event, position } of waiting) {
    if (BigInt(position) <= lane.reached) continue
    const record = recordOf(event, position)
    const size = record.key.length + record.value.length
    if (bytes + size > MAX_BATCH_BYTES) {
      batches.push({ lane, firstSequence: lane.sequence, messages: [] })
      bytes = 0
    }
    bytes += size
    batches.at(-1)?.messages.push({ ...record, topic: lane.topic.name, partition: lane.partition })
    lane.sequence = sequenceAfter(lane.sequence, 1)
    lane.reached = BigInt(position)
  }
  return batches
}
