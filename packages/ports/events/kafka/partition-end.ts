import { type Consumer, describeProducersV0, FetchIsolationLevels, ListOffsetTimestamps, type RecordsBatch } from '@platformatic/kafka'
import { positionOf } from './record.ts'
import type { KafkaTopic } from './topics.ts'

/** How many records before the end are looked at first, and how many times as many each time that none of ours is among them. */
const FIRST_STEP = 1n
const GROWTH = 100n
const FETCH_BYTES = 1_048_576
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
  const first = await offsetOf(client, topic, partition, ListOffsetTimestamps.EARLIEST)
  let end = await offsetOf(client, topic, partition, ListOffsetTimestamps.LATEST)
  for (let step = FIRST_STEP; end > first; step *= GROWTH) {
    const from = first + step < end ? end - step : first
    const reached = await lastPosition(client, topic, partition, producer, { from, end })
    if (reached !== undefined) return reached
    end = from
  }
  return 0n
}

async function offsetOf(client: Consumer, topic: KafkaTopic, partition: number, timestamp: bigint): Promise<bigint> {
  const offsets = await client.listOffsets({ topics: [topic.name], partitions: { [topic.name]: [partition] }, timestamp })
  return offsets.get(topic.name)?.[partition] ?? 0n
}

async function lastPosition(
  client: Consumer,
  topic: KafkaTopic,
  partition: number,
  producer: Producer,
  { from, end }: { from: bigint; end: bigint },
): Promise<bigint | undefined> {
  let last: string | undefined
  for (let offset = from; offset < end; ) {
    const batches = await fetchBatches(client, topic, partition, offset)
    for (const batch of batches) {
      offset = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
      const record = batch.records.at(-1)
      if (batch.producerId === producer.id && record) last = positionOf(record) ?? last
    }
    if (batches.length === 0) throw new Error(`Partition ${partition} of ${topic.name} could not be read at ${offset}.`)
  }
  return last === undefined ? undefined : BigInt(last)
}

async function fetchBatches(client: Consumer, topic: KafkaTopic, partition: number, fetchOffset: bigint): Promise<RecordsBatch[]> {
  const place = { partition, fetchOffset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, partitionMaxBytes: FETCH_BYTES }
  const answer = await client.fetch({
    node: topic.leaderOf(partition),
    topics: [{ topicId: topic.id, partitions: [place] }],
    maxBytes: FETCH_BYTES,
    isolationLevel: FetchIsolationLevels.READ_UNCOMMITTED,
  })
  return answer.responses[0]?.partitions[0]?.records ?? []
}
