import { promisify } from 'node:util'
import { Consumer as KafkaConsumer } from '@platformatic/kafka'
import type { Sql } from '../../sql/port.ts'
import { type Attempt, createAttempts } from '../attempts.ts'
import type { GroupLocks } from '../group-locks.ts'
import type { ConsumeOptions } from '../port.ts'
import type { Publish } from '../publisher.ts'
import { createFailures, LONGEST_PAUSE } from './failures.ts'
import { type PartitionWork, startPartition } from './partition-work.ts'
import { clientOptions, type KafkaSettings } from './settings.ts'
import type { KafkaTopic, KafkaTopics } from './topics.ts'

/** Milliseconds after which a member that is silent has lost its partitions, and between two signs of life. */
const SESSION_TIMEOUT = 10_000
const HEARTBEAT_INTERVAL = 1000
/** Milliseconds that members have to join anew when one comes or goes. */
const REBALANCE_TIMEOUT = 30_000

export interface GroupConsumerParts {
  settings: KafkaSettings
  sql: Sql
  locks: GroupLocks
  kafkaTopics: KafkaTopics
  publish: Publish
}

/** The group as Kafka knows it. A topic's name has no slash, so two groups never have one name; Kafka's client takes no blanks. */
export function groupId(topic: string, group: string): string {
  return `${topic}/${encodeURIComponent(group)}`
}

/** Is a member of the group until it is stopped, and works on the partitions that the group gives it. */
export function startGroupConsumer(parts: GroupConsumerParts, options: ConsumeOptions): { stop(): Promise<void> } {
  const { settings, sql, locks, kafkaTopics, publish } = parts
  const attempt = createAttempts(options, publish)
  const stopping = new AbortController()
  const failures = createFailures(`Consumer ${options.group} of ${options.topic} waits for Kafka`)
  const done = work()

  async function work(): Promise<void> {
    while (!stopping.signal.aborted) {
      const began = Date.now()
      try {
        await takePart(await kafkaTopics.find(options.topic))
      } catch (error) {
        if (stopping.signal.aborted) return
        if (Date.now() - began > LONGEST_PAUSE) failures.reset()
        kafkaTopics.forget()
        await failures.pauseAfter(error, stopping.signal)
      }
    }
  }

  /** Until it is stopped. @throws when the member is cut off from the group, or what it works on fails */
  async function takePart(topic: KafkaTopic): Promise<void> {
    const startAfter = await startOf(options)
    const member = new KafkaConsumer({
      ...clientOptions(settings),
      groupId: groupId(options.topic, options.group),
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: HEARTBEAT_INTERVAL,
      rebalanceTimeout: REBALANCE_TIMEOUT,
    })
    const failed = new AbortController()
    const works = openWorks({ member, topic, startAfter, attempt, onFailure: (error) => failed.abort(error) })
    member.on('error', (error) => failed.abort(error))
    // The client gives no further sign of life after one that failed.
    member.on('consumer:heartbeat:error', ({ error }) => failed.abort(error))
    member.on('consumer:group:join', ({ assignments = [] }) => {
      works.assign(assignments.flatMap(({ partitions }) => partitions))
    })
    try {
      member.topics.track(topic.name)
      // Not waited for: others may take their time to join anew, and whoever is to stop meanwhile does not wait for them.
      member.joinGroup({}).catch((error) => failed.abort(error))
      await aborted(AbortSignal.any([failed.signal, stopping.signal]))
      if (failed.signal.aborted) throw failed.signal.reason
    } finally {
      await works.stop()
      await leave(member)
    }
  }

  function openWorks(own: {
    member: KafkaConsumer
    topic: KafkaTopic
    startAfter: bigint
    attempt: Attempt
    onFailure(error: unknown): void
  }) {
    const running = new Map<number, PartitionWork>()
    const ending = new Set<Promise<void>>()
    let isOver = false

    function begin(partition: number): void {
      running.set(partition, startPartition({ ...own, connection: clientOptions(settings), locks, partition, group: options.group }))
    }

    function end(partition: number): void {
      const ended = running.get(partition)
      running.delete(partition)
      if (!ended) return
      const end = ended.stop().finally(() => ending.delete(end))
      ending.add(end)
    }

    return {
      /** Another owner may have a partition now: it is ended here first, and begins there when it has ended. */
      assign(partitions: readonly number[]): void {
        if (isOver) return
        for (const partition of running.keys()) if (!partitions.includes(partition)) end(partition)
        for (const partition of partitions) if (!running.has(partition)) begin(partition)
      },
      async stop(): Promise<void> {
        isOver = true
        for (const partition of running.keys()) end(partition)
        await Promise.all(ending)
      },
    }
  }

  async function startOf({ topic, group }: ConsumeOptions): Promise<bigint> {
    const { rows } = await sql.platform.query('select position from events.groups where topic = $1 and name = $2', [topic, group])
    return BigInt(rows[0]?.position ?? 0)
  }

  return {
    async stop() {
      stopping.abort()
      await done
    },
  }
}

/** A broker that does not hear of it notices by the silence. */
async function leave(member: KafkaConsumer): Promise<void> {
  // It leaves the group before it closes.
  await promisify<boolean, void>(member.close.bind(member))(true).catch(() => undefined)
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
