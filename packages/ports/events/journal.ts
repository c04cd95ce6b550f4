import type { Journal } from '../journal/port.ts'
import type { Sql } from '../sql/port.ts'
import { stillConsumed, withChecks } from './checked.ts'
import { type Consumer, startConsumer } from './consumer.ts'
import { createGroupLocks } from './group-locks.ts'
import { beginGroup } from './group-starts.ts'
import { EVENTS_MIGRATIONS } from './migrations.ts'
import type { Events } from './port.ts'
import { createPublisher } from './publisher.ts'
import { createTopics, type TopicView } from './views.ts'

/** The events port on the journal: its tail is the event log. */
export async function openJournalEvents(parts: { sql: Sql; journal: Journal; views?: readonly TopicView[] }): Promise<Events> {
  const { sql, journal, views = [] } = parts
  await sql.migrate('events', EVENTS_MIGRATIONS)
  const topics = createTopics(views)
  const publish = createPublisher(journal)
  const locks = createGroupLocks(sql)
  const consumers = new Set<Consumer>()
  const stopHearing = journal.onAppend(() => {
    for (const consumer of consumers) consumer.wake()
  })

  const driver: Events = {
    publish,
    async consume(options) {
      await beginGroup(sql, options)
      const consumer = startConsumer({ journal, topics, locks, publish }, options)
      consumers.add(consumer)
      return {
        async stop() {
          await consumer.stop()
          consumers.delete(consumer)
        },
      }
    },
    async rewind(topic, group) {
      const turn = await locks.take(topic, group)
      if (!turn) throw stillConsumed(topic, group)
      await turn.moveTo('0').finally(() => turn.release())
    },
    version: () => sql.version(),
    async close() {
      stopHearing()
      await Promise.all([...consumers].map((consumer) => consumer.stop()))
      await locks.close()
    },
  }
  return withChecks(driver, topics)
}
