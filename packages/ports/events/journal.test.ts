import type { JournalEntry } from '@soma/contracts/journal'
import { expect, test } from 'vitest'
import { openPostgresJournal } from '../journal/postgres.ts'
import { openTestSql } from '../sql/testing.ts'
import { eventsConformance, testEvent } from './conformance.ts'
import { openJournalEvents } from './journal.ts'
import type { CloudEvent } from './port.ts'

async function open() {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  const events = await openJournalEvents({ sql, journal })
  return {
    sql,
    journal,
    events,
    openSecond: () => openJournalEvents({ sql, journal }),
    async close() {
      await events.close()
      await journal.close()
      await sql.close()
    },
  }
}

eventsConformance('journal', open)

test('a consumer that is cut off from the database gives its group up, and goes on when it can', async () => {
  const { sql, events, openSecond, close } = await open()
  const second = await openSecond()
  const seen: { by: string; event: CloudEvent }[] = []
  const consume = (by: string, port: typeof events) =>
    port.consume({ topic: 'cut', group: 'g', handler: async (event) => void seen.push({ by, event }) })
  await consume('first', events)
  await events.publish('cut', [testEvent('acme', 'a')])
  await expect.poll(() => seen.length).toBe(1)
  await consume('second', second)
  await sql.superuser.query(`select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted and pid <> pg_backend_pid()
    and database = (select oid from pg_database where datname = current_database())`)
  await events.publish('cut', [testEvent('acme', 'b')])
  await expect.poll(() => seen.map(({ event }) => event.id)).toContain('b')
  await second.close()
  await close()
})

test('the journal of others is read once, not at every look', async () => {
  const { journal, events, close } = await open()
  const read: string[] = []
  const tail = journal.tail
  journal.tail = (query) => {
    read.push(query.after)
    return tail(query)
  }
  const consumer = await events.consume({ topic: 'quiet', group: 'g', handler: async () => undefined })
  const [entry] = await journal.append({ tenant: 'acme', stream: 'other', expectedSeq: 0, entries: [{ kind: 'note', payload: 1 }] })
  await expect.poll(() => read.at(-1)).toBe(entry?.position)
  await consumer.stop()
  await close()
})

test('a topic that shows what the journal holds anyway gives it as events, and takes none', async () => {
  const { sql, journal, close } = await open()
  const views = [
    { topic: 'notes', kinds: ['note'], toEvent: ({ tenant, hash, payload }: JournalEntry) => testEvent(tenant, hash, payload) },
  ]
  const events = await openJournalEvents({ sql, journal, views })
  const seen: CloudEvent[] = []
  await events.consume({ topic: 'notes', group: 'g', handler: async (event) => void seen.push(event) })
  const entries = await journal.append(
    { tenant: 'acme', stream: 'a', expectedSeq: 0, entries: [{ kind: 'note', payload: 1 }] },
    { tenant: 'acme', stream: 'b', expectedSeq: 0, entries: [{ kind: 'other', payload: 2 }] },
    { tenant: 'globex', stream: 'c', expectedSeq: 0, entries: [{ kind: 'note', payload: 3 }] },
  )
  await expect
    .poll(() => seen.map(({ id, data }) => ({ id, data })))
    .toEqual([
      { id: entries[0]?.hash, data: 1 },
      { id: entries[2]?.hash, data: 3 },
    ])
  await expect(events.publish('notes', [testEvent('acme', 'x')])).rejects.toMatchObject({ code: 'invalid_input' })
  await events.close()
  await close()
})
