import { type Consumer, FetchIsolationLevels, type ListOffsetTimestamps, type RecordsBatch } from '@platformatic/kafka'
import type { KafkaTopic } from './topics.ts'

const FETCH_BYTES = 1_048_576

/** Where a partition begins or ends. */
export async function offsetAt(
  client: Consumer,
  topic: KafkaTopic,
  partition: number,
  timestamp: (typeof ListOffsetTimestamps)[keyof typeof ListOffsetTimestamps],
): Promise<bigint> {
  const offsets = await client.listOffsets({ topics: [topic.name], partitions: { [topic.name]: [partition] }, timestamp })
  return offsets.get(topic.name)?.[partition] ?? 0n
}

/** What stands in a partition from one offset up to another; the first batch may begin earlier. */
export async function* readBatches(
  client: Consumer,
  topic: KafkaTopic,
  partition: number,
  { from, end }: { from: bigint; end: bigint },
): AsyncGenerator<RecordsBatch> {
  for (let offset = from; offset < end; ) {
    const batches = await fetchBatches(client, topic, partition, offset)
    if (batches.length === 0) throw new Error(`Partition ${partition} of ${topic.name} could not be read at ${offset}.`)
    for (const batch of batches) {
      yield batch
      offset = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
    }
  }
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
