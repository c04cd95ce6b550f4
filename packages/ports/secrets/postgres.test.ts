import { randomBytes } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import { openTestSql } from '../sql/testing.ts'
import { secretsConformance } from './conformance.ts'
import { openPostgresSecrets } from './postgres.ts'

const [sql, masterKey] = [await openTestSql(), randomBytes(32)]
afterAll(() => sql.close())
secretsConformance('postgres', () => openPostgresSecrets(sql, { masterKey }))

describe('secrets on PostgreSQL', () => {
  test('no value is in the database as it is, nor is the same value the same twice', async () => {
    const secrets = await openPostgresSecrets(sql, { masterKey })
    await secrets.write('acme', 'twice/a', 'correct horse battery staple')
    await secrets.write('acme', 'twice/b', 'correct horse battery staple')
    const { rows } = await sql.platform.query("select wrapped_key, sealed from secrets.versions where name like 'twice/%'")
    expect(rows).toHaveLength(2)
    for (const row of rows) expect(Buffer.concat([row.wrapped_key, row.sealed]).includes('horse')).toBe(false)
    expect(rows[0].sealed.equals(rows[1].sealed)).toBe(false)
  })

  test.each([
    [
      'another name',
      "insert into secrets.versions select tenant, 'copied', version, wrapped_key, sealed from secrets.versions where name = $1",
      'acme',
      'copied',
      1,
    ],
    [
      'another tenant',
      "insert into secrets.versions select 'globex', name, version, wrapped_key, sealed from secrets.versions where name = $1",
      'globex',
      'bound',
      1,
    ],
    [
      'another version',
      'insert into secrets.versions select tenant, name, 7, wrapped_key, sealed from secrets.versions where name = $1',
      'acme',
      'bound',
      7,
    ],
  ])('a row copied to %s can not be read', async (_, copy, tenant, name, version) => {
    const secrets = await openPostgresSecrets(sql, { masterKey })
    await sql.platform.query("delete from secrets.versions where name in ('bound', 'copied')")
    await secrets.write('acme', 'bound', 'correct horse')
    await sql.platform.query(copy, ['bound'])
    await expect(secrets.read(tenant, name, version)).rejects.toMatchObject({ code: 'digest_mismatch', details: { tenant, name, version } })
    expect(await secrets.read('acme', 'bound', 1)).toBe('correct horse')
    await sql.platform.query("delete from secrets.versions where name in ('bound', 'copied')")
  })

  test.each(['wrapped_key', 'sealed'])('one changed bit of %s is found, and a cut row too', async (column) => {
    const secrets = await openPostgresSecrets(sql, { masterKey })
    const name = `bits of ${column}`
    await secrets.write('acme', name, 'correct horse')
    const { rows } = await sql.platform.query(
      `select length(${column}) as bytes, ${column} as intact from secrets.versions where name = $1`,
      [name],
    )
    const { bytes, intact } = rows[0] as { bytes: number; intact: Buffer }
    const damaged = [
      ...Array.from({ length: bytes }, (_, byte) => {
        const copy = Buffer.from(intact)
        copy.writeUInt8(copy.readUInt8(byte) ^ 1, byte)
        return copy
      }),
      intact.subarray(0, bytes - 1),
      intact.subarray(0, 5),
      Buffer.alloc(0),
    ]
    for (const damage of damaged) {
      await sql.platform.query(`update secrets.versions set ${column} = $1 where name = $2`, [damage, name])
      await expect(secrets.read('acme', name)).rejects.toMatchObject({ code: 'digest_mismatch' })
    }
    await secrets.delete('acme', name)
  })

  test('another master key is refused at once, with what to do', async () => {
    await openPostgresSecrets(sql, { masterKey })
    await expect(openPostgresSecrets(sql, { masterKey: randomBytes(32) })).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/master key is not the one.*SOMA_MASTER_KEY/),
    })
    await expect(openPostgresSecrets(sql, { masterKey: randomBytes(16) })).rejects.toMatchObject({ code: 'invalid_input' })
  })

  test('the first key to open a database is the key of all who open it together', async () => {
    const fresh = await openTestSql()
    const keys = [randomBytes(32), randomBytes(32), randomBytes(32)]
    const opened = await Promise.allSettled(keys.map((key) => openPostgresSecrets(fresh, { masterKey: key })))
    expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await fresh.close()
  })

  test('a secret that is deleted and written anew during a rotation keeps its new value', async () => {
    const fresh = await openTestSql()
    const secrets = await openPostgresSecrets(fresh, { masterKey })
    await Promise.all(Array.from({ length: 98 }, (_, index) => secrets.write('acme', `before ${index}`, 'value')))
    await secrets.write('acme', 'last', 'old')
    for (let round = 0; round < 5; round++) {
      const rotation = secrets.rotateKeys()
      await secrets.delete('acme', 'last')
      await secrets.write('acme', 'last', `new ${round}`)
      await rotation
      expect(await secrets.read('acme', 'last')).toBe(`new ${round}`)
    }
    await fresh.close()
  })

  test('rotation encrypts every version of every tenant anew and says how many', async () => {
    const fresh = await openTestSql()
    const secrets = await openPostgresSecrets(fresh, { masterKey })
    const [tenants, versions] = [['acme', 'globex'], 110]
    for (const tenant of tenants)
      for (let index = 0; index < versions; index++) await secrets.write(tenant, `name ${index % 60}`, `value ${index}`)
    const stored = async () =>
      (await fresh.platform.query('select wrapped_key, sealed, updated_at from secrets.versions order by tenant, name, version')).rows as {
        wrapped_key: Buffer
        sealed: Buffer
        updated_at: Date
      }[]
    const before = await stored()
    expect(await secrets.rotateKeys()).toEqual({ rotated: tenants.length * versions })
    for (const [index, row] of (await stored()).entries()) {
      expect(row.wrapped_key.equals(before[index]?.wrapped_key ?? row.wrapped_key)).toBe(false)
      expect(row.sealed.equals(before[index]?.sealed ?? row.sealed)).toBe(false)
      expect(row.updated_at).toEqual(before[index]?.updated_at)
    }
    expect(await secrets.read('globex', 'name 3', 2)).toBe('value 63')
    await fresh.close()
  })
})
