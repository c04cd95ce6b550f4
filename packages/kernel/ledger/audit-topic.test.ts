import { openJournalEvents } from '@soma/ports/events/journal'
import { CloudEvent } from '@soma/ports/events/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, expect, test } from 'vitest'
import { AUDIT_TOPIC } from './audit-topic.ts'

const sql = await openTestSql()
const journal = await openPostgresJournal(sql)
const events = await openJournalEvents({ sql, journal, views: [AUDIT_TOPIC] })
afterAll(async () => {
  await events.close()
  await journal.close()
  await sql.close()
})

test('decisions and effects are events of agent.audit, without what flowed in and out', async () => {
  const seen: CloudEvent[] = []
  await events.consume({ topic: 'agent.audit', group: 'g', handler: async (event) => void seen.push(event) })
  const payload = { operation: 'git.push', input: { token: 'private' }, output: 'private', labels: ['untrusted'] }
  const [decided, , done] = await journal.append(
    {
      tenant: 'acme',
      stream: 'gate/today',
      expectedSeq: 0,
      entries: [{ kind: 'gate.decided', payload: { decision: { effect: 'allow' } } }],
    },
    { tenant: 'acme', stream: 'run/1', expectedSeq: 0, entries: [{ kind: 'run.started', payload: {} }] },
    { tenant: 'acme', stream: 'action/1', expectedSeq: 0, entries: [{ kind: 'action.completed', payload }] },
  )
  await expect.poll(() => seen.map(({ id }) => id)).toEqual([decided?.hash, done?.hash])
  for (const event of seen) expect(CloudEvent.parse(event)).toEqual(event)
  expect(seen[1]).toMatchObject({
    type: 'soma.action.completed',
    subject: 'action/1',
    partitionkey: 'acme',
    data: { operation: 'git.push', labels: ['untrusted'], entry: { seq: 1, digest: done?.digest, hash: done?.hash } },
  })
  expect(JSON.stringify(seen)).not.toContain('private')
})
