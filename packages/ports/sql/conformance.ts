import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Access } from './port.ts'
import type { TestSql } from './testing.ts'

const NOTES = { name: '001-notes', up: 'create table notes (tenant text not null, text text not null)' }
const LETTERS = { name: '002-letters', up: 'create table letters (text text); create sequence numbers' }

const INSERT = 'insert into promises.notes (tenant, text) values ($1, $2)'
const WHO = "select current_user as who, current_setting('soma.tenant', true) as tenant"

/** What every sql driver promises. */
export function sqlConformance(driver: string, open: () => Promise<TestSql>): void {
  describe(`sql: ${driver}`, () => {
    let sql: TestSql
    beforeAll(async () => {
      sql = await open()
      await sql.migrate('promises', [NOTES])
    })
    afterAll(() => sql.close())

    test('a migration is applied once, also when two processes apply it together', async () => {
      await Promise.all([1, 2, 3].map(() => sql.migrate('promises', [NOTES, LETTERS])))
      const { rows } = await sql.platform.query('select name from promises.migrations order by name')
      expect(rows.map((row) => row.name)).toEqual(['001-notes', '002-letters'])
    })

    test('a migration that fails leaves nothing behind', async () => {
      await expect(
        sql.migrate('promises', [NOTES, { name: '003-bad', up: 'create table half (id int); select nonsense' }]),
      ).rejects.toThrow()
      const { rows } = await sql.platform.query("select to_regclass('promises.half') as half")
      expect(rows[0].half).toBeNull()
    })

    test('the platform uses what migrations made, sequences included, but makes, changes and drops no table', async () => {
      await sql.platform.query("insert into promises.letters values ('dear')")
      await sql.platform.query("select setval('promises.numbers', 41)")
      expect((await sql.platform.query("select nextval('promises.numbers') as next")).rows).toEqual([{ next: '42' }])
      for (const change of [
        'create table promises.more (id int)',
        'alter table promises.notes disable row level security',
        'drop policy own_tenant on promises.notes',
        'drop table promises.notes',
        'truncate promises.notes',
      ]) {
        await expect(sql.platform.query(change)).rejects.toThrow(/must be owner|permission denied/)
        await expect(sql.tenant('acme').query(change)).rejects.toThrow(/must be owner|permission denied/)
      }
    })

    test('row-level security binds both roles, and neither logs in', async () => {
      const { rows } = await sql.superuser.query(
        "select rolname, rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname in ('soma_platform', 'soma_tenant') order by 1",
      )
      const bound = { rolsuper: false, rolbypassrls: false, rolcanlogin: false }
      expect(rows).toEqual([
        { rolname: 'soma_platform', ...bound },
        { rolname: 'soma_tenant', ...bound },
      ])
      expect((await sql.platform.query(WHO)).rows[0].who).toBe('soma_platform')
    })

    describe.each<[string, <Result>(access: Access, work: (statements: Pick<Access, 'query'>) => Promise<Result>) => Promise<Result>]>([
      ['a statement', (access, work) => work(access)],
      ['a transaction', (access, work) => access.transaction(work)],
    ])('%s of a tenant', (_, within) => {
      beforeAll(async () => {
        await sql.platform.query('delete from promises.notes')
        await sql.platform.query(INSERT, ['acme', 'ours'])
        await sql.platform.query(INSERT, ['globex', 'theirs'])
      })

      test('sees its own rows and no others, also when it forgets its tenant', async () => {
        const seen = await within(sql.tenant('acme'), (db) => db.query('select text from promises.notes'))
        expect(seen.rows).toEqual([{ text: 'ours' }])
        expect((await sql.platform.query('select * from promises.notes')).rows).toHaveLength(2)
      })

      test('changes and removes its own rows and no others', async () => {
        const changed = await within(sql.tenant('acme'), (db) => db.query("update promises.notes set text = 'still ours'"))
        expect(changed.rowCount).toBe(1)
        const removed = await within(sql.tenant('acme'), (db) => db.query('delete from promises.notes'))
        expect(removed.rowCount).toBe(1)
        expect((await sql.platform.query('select text from promises.notes')).rows).toEqual([{ text: 'theirs' }])
      })

      test('can not write a row of another tenant, nor give one away', async () => {
        const refused = /row-level security/
        await expect(within(sql.tenant('acme'), (db) => db.query(INSERT, ['globex', 'forged']))).rejects.toThrow(refused)
        await within(sql.tenant('acme'), (db) => db.query(INSERT, ['acme', 'ours']))
        const give = "update promises.notes set tenant = 'globex'"
        await expect(within(sql.tenant('acme'), (db) => db.query(give))).rejects.toThrow(refused)
      })

      test('does not reach tables that belong to no tenant', async () => {
        for (const table of ['letters', 'migrations'])
          await expect(within(sql.tenant('acme'), (db) => db.query(`select * from promises.${table}`))).rejects.toThrow(/permission denied/)
      })

      test('leaves neither role nor tenant on its connection, also when it fails', async () => {
        const one = await within(sql.tenant('acme'), (db) => db.query(WHO))
        expect(one.rows).toEqual([{ who: 'soma_tenant', tenant: 'acme' }])
        await expect(within(sql.tenant('acme'), (db) => db.query('select 1 / 0'))).rejects.toThrow(/division by zero/)
        const after = await Promise.all(Array.from({ length: 30 }, () => sql.platform.query(WHO)))
        for (const { rows } of after) expect([rows[0].who, rows[0].tenant || null]).toEqual(['soma_platform', null])
      })

      test('takes values, names and rows as arrays like any other', async () => {
        const named = { name: 'promised', text: 'select $1::int + 1 as sum, $2::text as said' }
        for (const tenant of ['acme', 'globex', 'acme']) {
          const { rows } = await within(sql.tenant(tenant), (db) => db.query({ ...named, values: [41, tenant] }))
          expect(rows).toEqual([{ sum: 42, said: tenant }])
        }
        const arrays = await within(sql.tenant('acme'), (db) => db.query({ text: 'select 1, $1::text', values: ['x'], rowMode: 'array' }))
        expect(arrays.rows).toEqual([[1, 'x']])
      })
    })

    test('whoever takes the role without a tenant sees nothing', async () => {
      await sql.platform.query(INSERT, ['acme', 'ours'])
      const seen = await sql.platform.transaction(async (db) => {
        await db.query('set local role soma_tenant')
        return db.query('select * from promises.notes')
      })
      expect(seen.rows).toEqual([])
      expect((await sql.tenant('').query('select * from promises.notes')).rows).toEqual([])
    })

    test('a tenant’s name is a value, whatever it holds', async () => {
      for (const name of ["acme'; reset role; --", "o'clock", 'globex\\', '$1', 'ü']) {
        expect((await sql.tenant(name).query(WHO)).rows).toEqual([{ who: 'soma_tenant', tenant: name }])
        expect((await sql.tenant(name).transaction((db) => db.query(WHO))).rows).toEqual([{ who: 'soma_tenant', tenant: name }])
      }
    })

    test('any number of tenants and the platform share the connections, and each sees its own', async () => {
      const tenants = ['a1', 'b2', 'c3', 'd4']
      await sql.platform.query('delete from promises.notes')
      for (const tenant of tenants) await sql.platform.query(INSERT, [tenant, `of ${tenant}`])
      const step = fc.record({ tenant: fc.constantFrom(...tenants, 'platform'), together: fc.boolean(), fails: fc.boolean() })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
          await Promise.all(
            steps.map(async ({ tenant, together, fails }) => {
              const access = tenant === 'platform' ? sql.platform : sql.tenant(tenant)
              const look = (db: Pick<Access, 'query'>) => db.query(`select text from promises.notes${fails ? ' where 1 / 0 = 1' : ''}`)
              const seen = await (together ? access.transaction(look) : look(access)).catch((error: Error) => error.message)
              if (fails) return expect(seen).toMatch(/division by zero/)
              const texts = (seen as { rows: { text: string }[] }).rows.map((row) => row.text).sort()
              expect(texts).toEqual((tenant === 'platform' ? tenants : [tenant]).map((owner) => `of ${owner}`))
            }),
          )
        }),
        { numRuns: 20 },
      )
    })

    test('a transaction that throws is rolled back', async () => {
      await expect(
        sql.tenant('acme').transaction(async (db) => {
          await db.query(INSERT, ['acme', 'lost'])
          throw new Error('no')
        }),
      ).rejects.toThrow('no')
      expect((await sql.tenant('acme').query("select * from promises.notes where text = 'lost'")).rows).toEqual([])
    })

    test('listeners hear what is notified, and nothing after they stopped', async () => {
      const heard: string[] = []
      const stop = await sql.listen('promises', (payload) => heard.push(payload))
      await sql.notify('promises', 'one')
      await expect.poll(() => heard).toEqual(['one'])
      await stop()
      await sql.notify('promises', 'two')
      await sql.platform.query('select 1')
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
      await sql.superuser.query('select pg_terminate_backend(pid) from pg_stat_activity where query ilike \'listen "cut"\'')
      await expect.poll(() => reconnects, { timeout: 10_000 }).toBe(1)
      await sql.notify('cut', 'again')
      await expect.poll(() => heard).toEqual(['again'])
      await stop()
    })
  })
}
