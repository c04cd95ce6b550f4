import { setTimeout as pass } from 'node:timers/promises'
import { loadConfig } from '@soma/kernel/config/config'
import { AUDIT_TOPIC } from '@soma/kernel/ledger/audit-topic'
import { openKafkaEvents } from '@soma/ports/events/kafka/driver'
import { EVERY_TENANT } from '@soma/ports/journal/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { tailAll } from '@soma/ports/journal/tail-all'
import { openPostgres } from '@soma/ports/sql/postgres'

const PATIENCE_MILLISECONDS = 180_000

/**
 * Reads the audit topic from its beginning and holds it against the journal: every decision and effect is there, once, and those of a
 * tenant in the order in which they were made.
 * @param env settings that lead to the servers
 * @returns what is wrong
 */
export async function compareAuditTopic(env: Record<string, string>): Promise<string[]> {
  const settings = Object.entries(env).filter(([name]) => name.startsWith('SOMA_'))
  const config = await loadConfig({ cwd: '/', env: Object.fromEntries(settings) })
  const sql = await openPostgres({ connection: { connectionString: config.sql.url }, poolSize: 4 })
  const journal = await openPostgresJournal(sql)
  const events = await openKafkaEvents({ sql, journal, settings: config.kafka, views: [AUDIT_TOPIC] })
  try {
    const expected: string[] = []
    for await (const { tenant, hash } of tailAll(journal, { tenant: EVERY_TENANT, kinds: AUDIT_TOPIC.kinds }))
      expected.push(`${tenant} ${hash}`)
    const seen: string[] = []
    const consumer = await events.consume({
      topic: AUDIT_TOPIC.topic,
      group: 'crash-test',
      handler: async ({ partitionkey, id }) => {
        seen.push(`${partitionkey} ${id}`)
      },
    })
    const deadline = Date.now() + PATIENCE_MILLISECONDS
    while (new Set(seen).size < expected.length && Date.now() < deadline) await pass(500)
    await consumer.stop()
    console.log(`${AUDIT_TOPIC.topic}: ${seen.length} events of ${expected.length} entries`)
    return compare(expected, seen)
  } finally {
    await events.close()
    await journal.close()
    await sql.close()
  }
}

/** Events that came after the journal was read are no concern of the comparison. */
function compare(expected: readonly string[], seen: readonly string[]): string[] {
  const problems: string[] = []
  const lost = expected.filter((event) => !seen.includes(event))
  if (lost.length > 0) problems.push(`${AUDIT_TOPIC.topic} lacks ${lost.length} events, the first ${lost[0]}`)
  const twice = seen.filter((event, index) => seen.indexOf(event) !== index)
  if (twice.length > 0) problems.push(`${AUDIT_TOPIC.topic} holds ${twice.length} events twice, the first ${twice[0]}`)
  const tenantOf = (event: string) => event.split(' ')[0]
  for (const tenant of new Set(expected.map(tenantOf))) {
    const order = expected.filter((event) => tenantOf(event) === tenant)
    const found = seen.filter((event) => tenantOf(event) === tenant && order.includes(event))
    const wrong = found.findIndex((event, index) => event !== order[index])
    if (lost.length === 0 && twice.length === 0 && wrong >= 0) problems.push(`${AUDIT_TOPIC.topic} has ${found[wrong]} out of its order`)
  }
  return problems
}
