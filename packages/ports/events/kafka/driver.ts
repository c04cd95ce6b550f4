import { Admin, Consumer } from '@platformatic/kafka'
import type { Journal } from '../../journal/port.ts'
import type { Sql } from '../../sql/port.ts'
import { stillConsumed, withChecks } from '../checked.ts'
import { createGroupLocks } from '../group-locks.ts'
import { beginGroup } from '../group-starts.ts'
import { EVENTS_MIGRATIONS } from '../migrations.ts'
import { pause } from '../pause.ts'
import type { Events } from '../port.ts'
import { createPublisher } from '../publisher.ts'
import { createTopics, type TopicView } from '../views.ts'
import { groupId, startGroupConsumer } from './group-consumer.ts'
import { startRelay } from './relay.ts'
import { clientOptions, isKafkaError, type KafkaSettings, kafkaUnavailable } from './settings.ts'
import { createKafkaTopics } from './topics.ts'

/** Milliseconds that a broker has for what is on its way to it when the port is closed; the rest waits in the journal. */
const CLOSE_GRACE = 5000

export interface KafkaEventsParts {
  sql: Sql
  journal: Journal
  settings: KafkaSettings
  views?: readonly TopicView[]
  /** Topics that are made at start; the others when they are first used. */
  standing?: readonly string[]
}

/**
 * The events port on Kafka. To publish is to append to the journal: it needs no broker. One process at a time relays what the journal
 * holds, so each event is in its topic once, in the order of its key. Groups are Kafka's consumer groups.
 */
export async function openKafkaEvents(parts: KafkaEventsParts): Promise<Events> {
  const { sql, journal, settings, views = [], standing = [] } = parts
  const options = clientOptions(settings)
  await sql.migrate('events', EVENTS_MIGRATIONS)
  const topics = createTopics(views)
  const publish = createPublisher(journal)
  const locks = createGroupLocks(sql)
  const admin = new Admin(options)
  const client = new Consumer({ ...options, groupId: 'soma-relay' })
  const kafkaTopics = createKafkaTopics(admin, settings)
  const consumers = new Set<ReturnType<typeof startGroupConsumer>>()
  const relay = startRelay({ sql, journal, topics, locks, client, kafkaTopics, standing })
  const stopHearing = journal.onAppend(() => relay.wake())

  const driver: Events = {
    publish,
    async consume(wanted) {
      await beginGroup(sql, wanted)
      const consumer = startGroupConsumer({ settings, sql, locks, kafkaTopics, publish }, wanted)
      consumers.add(consumer)
      return {
        async stop() {
          await consumer.stop()
          consumers.delete(consumer)
        },
      }
    },
    async rewind(topic, group) {
      // Without its offsets a group begins at the first record that is left. Kafka refuses while the group has members.
      await admin.deleteGroups({ groups: [groupId(topic, group)] }).catch((error) => {
        if (isKafkaError(error, 'NON_EMPTY_GROUP')) throw stillConsumed(topic, group)
        if (!isKafkaError(error, 'GROUP_ID_NOT_FOUND')) throw kafkaUnavailable(settings, error)
      })
      await sql.platform.query('update events.groups set position = 0 where topic = $1 and name = $2', [topic, group])
    },
    async version() {
      try {
        const { id, brokers } = await admin.metadata({ topics: [], forceUpdate: true })
        // Brokers say which requests they understand, not what they are.
        return `version not told, ${brokers.size} ${brokers.size === 1 ? 'broker' : 'brokers'} of cluster ${id}`
      } catch (error) {
        throw kafkaUnavailable(settings, error)
      }
    },
    async close() {
      stopHearing()
      await Promise.all([...consumers].map((consumer) => consumer.stop()))
      const stopped = relay.stop()
      await Promise.race([stopped, pause(CLOSE_GRACE)])
      await Promise.all([client.close(true), admin.close()])
      await stopped
      await locks.close()
    },
  }
  return withChecks(driver, topics)
}
