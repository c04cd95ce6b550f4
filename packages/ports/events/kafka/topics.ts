import type { Admin, ClusterMetadata } from '@platformatic/kafka'
import { pause } from '../pause.ts'
import type { KafkaSettings } from './settings.ts'

/** A topic that was just made is not known to every broker at once: looks at it, and milliseconds between them. */
const LOOKS = 50
const BETWEEN_LOOKS = 100

export interface KafkaTopic {
  name: string
  id: string
  partitions: number
  /** The broker that leads a partition. */
  leaderOf(partition: number): number
}

/** Finds topics, and makes those that are not there. */
export function createKafkaTopics(admin: Admin, { partitions, replicas }: Pick<KafkaSettings, 'partitions' | 'replicas'>) {
  const known = new Map<string, Promise<KafkaTopic>>()

  async function open(name: string): Promise<KafkaTopic> {
    // Refused for a topic that is there, and by a cluster on which only its operator may make topics: then it has to be there.
    const refused = await admin.createTopics({ topics: [name], partitions, replicas }).then(
      () => undefined,
      (error: Error) => error,
    )
    for (let look = 1; ; look++) {
      try {
        return asTopic(name, await admin.metadata({ topics: [name], forceUpdate: true }))
      } catch (error) {
        if (look === LOOKS) throw refused ?? error
      }
      await pause(BETWEEN_LOOKS)
    }
  }

  return {
    find(name: string): Promise<KafkaTopic> {
      const found = known.get(name) ?? open(name)
      known.set(name, found)
      found.catch(() => known.delete(name))
      return found
    },
    /** After something went wrong: leaders may have changed, and topics may be gone. */
    forget: () => known.clear(),
  }
}

export type KafkaTopics = ReturnType<typeof createKafkaTopics>

function asTopic(name: string, { topics }: ClusterMetadata): KafkaTopic {
  const found = topics.get(name)
  if (!found || found.partitions.length === 0) throw new Error(`The topic ${name} has no partitions.`)
  return {
    name,
    id: found.id,
    partitions: found.partitionsCount,
    leaderOf: (partition) => found.partitions[partition]?.leader as number,
  }
}
