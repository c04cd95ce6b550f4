import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sql } from './port.ts'

const NOTES = { name: '001-notes', up: 'create table notes (tenant text not null, text text not null)' }

const INSERT = 'insert into promises.notes (tenant, text) values ($1, $2)'

/** What every sql driver promises. */
export function sqlConformance(driver: string, open: () => Promise<Sql>): void {
  describe(`sql: ${driver}`, () => {
    let sql: Sql
    beforeAll(async () => {
      sql = await open()
      await sql.migrate('promises', [NOTES])
    })
    afterAll(() => sql.close())

    test('a migration is applied once, also when two processes apply it together', async () => {
      const second = { name: '002-more', up: 'create table more (id int primary key)' }
      await Promise.all([1, 2, 3].map(() => sql.migrate('promises', [NOTES, second])))
      const { rows } = await sql.pool.query('select name from promises.migrations order by name')
      expect(rows.map((row) => row.name)).toEqual(['001-notes', '002-more'])
    })

    test('a migration that fails leaves nothing behind', async () => {
      await expect(
        sql.migrate('promises', [NOTES, { name: '003-bad', up: 'create table half (id int); select nonsense' }]),
      ).rejects.toThrow()
      const { rows } = await sql.pool.query("select to_regclass('promises.half') as half")
      expect(rows[0].half).toBeNull()
    })

    test('a tenant sees its own rows and no others, also when the query forgets its tenant', async () => {
      await sql.tenant('acme', (db) => db.query(INSERT, ['acme', 'ours']))
      await sql.tenant('globex', (db) => db.query(INSERT, ['globex', 'theirs']))
      const seen = await sql.tenant('acme', (db) => db.query('select text from promises.notes'))
      expect(seen.rows).toEqual([{ text: 'ours' }])
      expect((await sql.pool.query('select * from promises.notes')).rows).toHaveLength(2)
    })

    test('a tenant can not write a row of another tenant', async () => {
      await expect(sql.tenant('acme', (db) => db.query(INSERT, ['globex', 'forged']))).rejects.toThrow(/row-level security/)
    })

    test('the role does not outlive its transaction', async () => {
      await sql.tenant('acme', async () => undefined)
      const { rows } = await sql.pool.query("select current_user as who, current_setting('soma.tenant', true) as tenant")
      expect(rows[0].who).not.toBe('soma_tenant')
      expect(rows[0].tenant || null).toBeNull()
    })

    test('a transaction that throws is rolled back', async () => {
      await expect(
        sql.tenant('acme', async (db) => {
          await db.query(INSERT, ['acme', 'lost'])
          throw new Error('no')
        }),
      ).rejects.toThrow('no')
      const seen = await sql.tenant('acme', (db) => db.query("select * from promises.notes where text = 'lost'"))
      expect(seen.rows).toEqual([])
    })

    test('listeners hear what is notified, and nothing after they stopped', async () => {
      const heard: string[] = []
      const stop = await sql.listen('promises', (payload) => heard.push(payload))
      await sql.notify('promises', 'one')
      await expect.poll(() => heard).toEqual(['one'])
      await stop()
      await sql.notify('promises', 'two')
      await sql.pool.query('select 1')
      expect(heard).toEqual(['one'])
    })

    test('a listener comes back after its connection was cut, and is told so', async () => {
      const heard: string[] = []
      let reconnects = 0
      const stop = await sql.listen(
        'cut',
        (payload) => heard.push(payload),
        () => {
          reconnects++
        },
      )
      await sql.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where query ilike \'listen "cut"\'')
      await expect.poll(() => reconnects, { timeout: 10_000 }).toBe(1)
      await sql.notify('cut', 'again')
      await expect.poll(() => heard).toEqual(['again'])
      await stop()
    })
  })
}
