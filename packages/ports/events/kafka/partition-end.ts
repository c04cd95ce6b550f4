import { type Consumer, describeProducersV0, ListOffsetTimestamps } from '@platformatic/kafka'
import { offsetAt, readBatches } from './read-batches.ts'
import { positionOf } from './record.ts'
import type { KafkaTopic } from './topics.ts'

/** How many records before the end are looked at first, and how many times as many each time that none of ours is among them. */
const FIRST_STEP = 1n
const GROWTH = 100n
/** Sequence numbers of a producer are 31 bits and begin again. */
const SEQUENCES = 2 ** 31

export interface Producer {
  id: bigint
  epoch: number
}

/** How far a producer has come in one partition. */
export interface PartitionEnd {
  /** The number that the broker wants its next record to have. */
  sequence: number
  /** Where its last record stands in the journal. */
  reached: bigint
}

export const sequenceAfter = (sequence: number, records: number) => (sequence + records) % SEQUENCES

/**
 * Asks the broker how far the producer has come. The sequence is asked for first: when a record of a relay that just died arrives in
 * between, the next one sent from here has a number that is taken, and is refused rather than added twice.
 */
export async function readPartitionEnd(client: Consumer, topic: KafkaTopic, partition: number, producer: Producer): Promise<PartitionEnd> {
  const sequence = await readSequence(client, topic, partition, producer)
  return { sequence, reached: await readReached(client, topic, partition, producer) }
}

async function readSequence(client: Consumer, topic: KafkaTopic, partition: number, producer: Producer): Promise<number> {
  const leader = topic.leaderOf(partition)
  const connection = (await client.connectToBrokers([leader])).get(leader)
  if (!connection) throw new Error(`No broker leads partition ${partition} of ${topic.name} at present.`)
  const answer = await describeProducersV0.api.async(connection, [{ name: topic.name, partitionIndexes: [partition] }])
  const active = answer.topics[0]?.partitions[0]?.activeProducers.find(({ producerId }) => producerId === producer.id)
  return active ? sequenceAfter(active.lastSequence, 1) : 0
}

async function readReached(client: Consumer, topic: KafkaTopic, partition: number, producer: Producer): Promise<bigint> {
  const first = await offsetAt(client, topic, partition, ListOffsetTimestamps.EARLIEST)
  let end = await offsetAt(client, topic, partition, ListOffsetTimestamps.LATEST)
  for (let step = FIRST_STEP; end > first; step *= GROWTH) {
    const from = first + step < end ? end - step : first
    let last: string | undefined
    for await (const { producerId, records } of readBatches(client, topic, partition, { from, end })) {
      const record = records.at(-1)
      if (producerId === producer.id && record) last = positionOf(record) ?? last
    }
    if (last !== undefined) return BigInt(last)
    end = from
  }
  return 0n
}
