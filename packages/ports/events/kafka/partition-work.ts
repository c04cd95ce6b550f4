import {
  type ConnectionOptions,
  ConnectionPool,
  type Consumer,
  type KafkaRecord,
  ListOffsetTimestamps,
  type RecordsBatch,
} from '@platformatic/kafka'
import type { Attempt } from '../attempts.ts'
import type { GroupLocks, Turn } from '../group-locks.ts'
import { pause } from '../pause.ts'
import type { CloudEvent } from '../port.ts'
import { offsetAt } from './read-batches.ts'
import { eventOf, positionOf } from './record.ts'
import { isKafkaError, isRebalancing } from './settings.ts'
import type { KafkaTopic } from './topics.ts'
import { createWindow, type Window } from './window.ts'

/** Events of one partition that are in hand at the most. */
const WINDOW = 500
/** Milliseconds that the broker waits for something to come, and bytes of one answer. */
const FETCH_WAIT = 500
const FETCH_BYTES = 1_048_576
/** Milliseconds between two attempts to get a partition that somebody else is still working on. */
const STAND_BY = 100
/** How often the last word on a partition is tried. */
const LAST_COMMIT_TRIES = 100
/** Bit of a batch that holds no records but the end of somebody's transaction. */
const IS_CONTROL = 1 << 5

type PlacedRecord = KafkaRecord & { offset: bigint }

export interface PartitionParts {
  /** A member of the group. */
  member: Consumer
  /** For reading, over connections of its own: a broker answers one question of a connection after another, and reading waits. */
  connection: ConnectionOptions
  locks: GroupLocks
  topic: KafkaTopic
  partition: number
  /** As the port knows it. */
  group: string
  /** Events up to here in the journal were there before the group. */
  startAfter: bigint
  attempt: Attempt
  onFailure(error: unknown): void
}

export interface PartitionWork {
  /** Finishes what is in hand, and lets the next owner have the partition. */
  stop(): Promise<void>
}

/**
 * Works on one partition as long as it is this member's. A group gives a partition to another member without waiting for the one that
 * had it; the lock makes the new owner wait until the old one has finished and said how far it came.
 */
export function startPartition(parts: PartitionParts): PartitionWork {
  const { member, connection, locks, topic, partition, group, startAfter, attempt, onFailure } = parts
  const stopping = new AbortController()
  const connections = new ConnectionPool('soma', connection)
  const done = work().catch(fail)

  /** Nothing new is begun, and whoever started this hears of it. */
  function fail(error: unknown): void {
    stopping.abort()
    onFailure(error)
  }

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const turn = await locks.take(topic.name, `${group}/${partition}`)
      if (turn) await workInTurn(turn).finally(() => turn.release())
      else await pause(STAND_BY, stopping.signal)
    }
  }

  async function workInTurn(turn: Turn): Promise<void> {
    const goesOn = () => !stopping.signal.aborted && turn.isHeld()
    const start = await whereToBegin()
    const window = createWindow<CloudEvent>(start, (event) => attempt(event, { goesOn, stopping: stopping.signal }), {
      size: WINDOW,
      stopping: stopping.signal,
    })
    const commit = committer(window, start)
    await takeFrom(start, window, commit, goesOn).catch(fail)
    // Whatever happened: what is in hand is finished and what is done is said before somebody else has the partition.
    await window.settled().catch(fail)
    await commitAtLast(commit, turn)
  }

  async function takeFrom(start: bigint, window: Window<CloudEvent>, commit: () => Promise<void>, goesOn: () => boolean): Promise<void> {
    let offset = start
    while (goesOn()) {
      for (const batch of await fetch(offset)) {
        for (const record of recordsFrom(batch, offset)) take(record, window)
        offset = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
      }
      await window.room()
      await commit()
    }
  }

  function take(record: PlacedRecord, window: Window<CloudEvent>): void {
    const wasBefore = BigInt(positionOf(record) ?? startAfter + 1n) <= startAfter
    const event = wasBefore ? undefined : readEvent(record)
    if (event) window.add(record.offset, event.partitionkey, event)
    else window.pass(record.offset)
  }

  function committer(window: Window<CloudEvent>, start: bigint): () => Promise<void> {
    let committed = start
    return async () => {
      const offset = window.doneUpTo()
      if (offset === committed) return
      await member.commit({ offsets: [{ topic: topic.name, partition, offset, leaderEpoch: -1 }] })
      committed = offset
    }
  }

  /** A group takes no word while it is being put together anew, which is just when partitions change hands. */
  async function commitAtLast(commit: () => Promise<void>, turn: Turn): Promise<void> {
    for (let tries = 1; turn.isHeld(); tries++) {
      try {
        await commit()
        return
      } catch (error) {
        if (!isRebalancing(error) || tries === LAST_COMMIT_TRIES) throw error
      }
      await pause(STAND_BY)
    }
  }

  async function whereToBegin(): Promise<bigint> {
    const committed = await member.listCommittedOffsets({ topics: [{ topic: topic.name, partitions: [partition] }] })
    const [offset = -1n] = committed.get(topic.name)?.filter((each) => each !== undefined) ?? []
    return offset >= 0n ? offset : earliest()
  }

  function earliest(): Promise<bigint> {
    return offsetAt(member, topic, partition, ListOffsetTimestamps.EARLIEST)
  }

  async function fetch(fetchOffset: bigint): Promise<RecordsBatch[]> {
    const place = { partition, fetchOffset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, partitionMaxBytes: FETCH_BYTES }
    try {
      const answer = await member.fetch({
        node: topic.leaderOf(partition),
        topics: [{ topicId: topic.id, partitions: [place] }],
        maxBytes: FETCH_BYTES,
        maxWaitTime: FETCH_WAIT,
        connectionPool: connections,
      })
      return answer.responses[0]?.partitions[0]?.records ?? []
    } catch (error) {
      // Its connections are closed when it is to stop, so that nobody waits for a broker that has nothing.
      if (stopping.signal.aborted) return []
      // What the group stands at was removed meanwhile, being older than the topic keeps: go on with the first that is left.
      if (isKafkaError(error, 'OFFSET_OUT_OF_RANGE')) return fetch(await earliest())
      throw error
    }
  }

  /** Undefined for what somebody else wrote that is no event: it stays in the topic, and nobody can handle it. */
  function readEvent(record: PlacedRecord): CloudEvent | undefined {
    try {
      return eventOf(record)
    } catch (error) {
      const place = `Record ${record.offset} of partition ${partition} of ${topic.name}`
      process.emitWarning(
        `${place} is no CloudEvent and is passed over by group ${group}: ${error instanceof Error ? error.message : error}`,
      )
      return undefined
    }
  }

  return {
    async stop() {
      stopping.abort()
      await connections.close()
      await done
    },
  }
}

/** A broker answers with the whole batch that an offset is in. */
function recordsFrom(batch: RecordsBatch, offset: bigint): PlacedRecord[] {
  if (batch.attributes & IS_CONTROL) return []
  return batch.records
    .map((record) => ({ ...record, offset: batch.firstOffset + BigInt(record.offsetDelta) }))
    .filter((record) => record.offset >= offset)
}
