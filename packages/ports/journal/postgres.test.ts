import { expect, test } from 'vitest'
import { openTestSql } from '../sql/testing.ts'
import { journalConformance } from './conformance.ts'
import { openPostgresJournal } from './postgres.ts'

journalConformance('postgres', async () => {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  return {
    journal,
    openSecond: () => openPostgresJournal(sql),
    close: async () => {
      await journal.close()
      await sql.close()
    },
  }
})

test('not even the platform changes or removes an entry', async () => {
  const sql = await openTestSql()
  const journal = await openPostgresJournal(sql)
  await journal.append({ tenant: 'acme', stream: 's', expectedSeq: 0, entries: [{ kind: 'note', payload: 1 }] })
  await expect(sql.pool.query('delete from journal.entries')).rejects.toThrow(/never changed or removed/)
  await expect(sql.pool.query("update journal.entries set kind = 'other'")).rejects.toThrow(/never changed or removed/)
  await journal.close()
  await sql.close()
})
