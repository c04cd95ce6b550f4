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
  await expect(sql.platform.query('delete from journal.entries')).rejects.toThrow(/permission denied/)
  await expect(sql.superuser.query('delete from journal.entries')).rejects.toThrow(/never changed or removed/)
  await expect(sql.platform.query("update journal.entries set kind = 'other'")).rejects.toThrow(/never changed or removed/)
  for (const change of ["payload = '2'", 'payload = null', 'salt = null', 'payload = null, salt = gen_random_uuid()'])
    await expect(sql.superuser.query(`update journal.entries set ${change}`)).rejects.toThrow(/never changed or removed/)
  const own = sql.tenant('acme')
  await expect(own.query('delete from journal.entries')).rejects.toThrow(/permission denied/)
  await expect(own.query("update journal.entries set payload = '2'")).rejects.toThrow(/permission denied/)
  const forge = `insert into journal.entries (tenant, stream, seq, kind, at, digest, prev_hash, hash)
    select tenant, stream, seq + 1, kind, at, digest, prev_hash, hash from journal.entries`
  await expect(own.query(forge)).rejects.toThrow(/permission denied/)
  await journal.close()
  await sql.close()
})
