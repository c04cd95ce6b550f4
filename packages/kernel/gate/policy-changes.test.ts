import { openPostgresBroadcast } from '@soma/ports/broadcast/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { expect, onTestFinished, test } from 'vitest'
import { openPolicyChanges } from './policy-changes.ts'

/** As many processes as wanted, on one database. */
async function openProcesses({ canTell }: { canTell: boolean }) {
  const sql = await openTestSql()
  onTestFinished(() => sql.close())
  return {
    sql,
    async open() {
      const broadcast = await openPostgresBroadcast(sql)
      const publish = canTell ? broadcast.publish : () => Promise.reject(new Error('away'))
      const changes = await openPolicyChanges({ sql, broadcast: { ...broadcast, publish } })
      onTestFinished(async () => {
        await changes.close()
        await broadcast.close()
      })
      const heard: string[] = []
      changes.onChange((tenant) => heard.push(tenant))
      return { changes, heard }
    },
  }
}

test.each([
  ['told', true],
  ['not told', false],
])('who announces a change hears of it at once, and every other process soon, %s', async (_, canTell) => {
  const { sql, open } = await openProcesses({ canTell })
  const [here, there] = [await open(), await open()]
  await sql.platform.transaction((transaction) => here.changes.note(transaction, 'acme'))
  await here.changes.announce()
  expect(here.heard).toContain('acme')
  await expect.poll(() => there.heard).toContain('acme')
})

test('a change that was not committed is none', async () => {
  const { sql, open } = await openProcesses({ canTell: true })
  const { changes, heard } = await open()
  const undone = sql.platform.transaction(async (transaction) => {
    await changes.note(transaction, 'acme')
    throw new Error('no')
  })
  await expect(undone).rejects.toThrow('no')
  await changes.announce()
  expect(heard).toEqual([])
})

test('no change is passed over, however many are made at once', async () => {
  const { sql, open } = await openProcesses({ canTell: false })
  const [here, there] = [await open(), await open()]
  const tenants = Array.from({ length: 50 }, (_, index) => `tenant-${index}`)
  await Promise.all(
    tenants.map(async (tenant) => {
      await sql.platform.transaction((transaction) => here.changes.note(transaction, tenant))
      await here.changes.announce()
    }),
  )
  await expect.poll(() => [...new Set(there.heard)].toSorted()).toEqual(tenants.toSorted())
})

test('a process that begins knows what was changed before, and hears of what comes', async () => {
  const { sql, open } = await openProcesses({ canTell: true })
  const first = await open()
  await sql.platform.transaction((transaction) => first.changes.note(transaction, 'acme'))
  const second = await open()
  await sql.platform.transaction((transaction) => first.changes.note(transaction, 'globex'))
  await second.changes.announce()
  expect(second.heard).toEqual(['globex'])
})
