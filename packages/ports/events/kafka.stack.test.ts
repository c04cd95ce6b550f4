import { openPostgresJournal } from '../journal/postgres.ts'
import { openTestSql } from '../sql/testing.ts'
import { fromStack } from '../testing.ts'
import { eventsConformance } from './conformance.ts'
import { openKafkaEvents } from './kafka/driver.ts'
import type { KafkaSettings } from './kafka/settings.ts'

const settings: KafkaSettings = {
  brokers: [fromStack('SOMA_KAFKA_BROKERS')],
  saslMechanism: 'SCRAM-SHA-512',
  tls: false,
  partitions: 6,
  replicas: 1,
}

eventsConformance('kafka', async () => {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  const events = await openKafkaEvents({ sql, journal, settings })
  return {
    events,
    openSecond: () => openKafkaEvents({ sql, journal, settings }),
    async close() {
      await events.close()
      await journal.close()
      await sql.close()
    },
  }
})
