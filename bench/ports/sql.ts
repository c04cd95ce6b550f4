import { type Prepare, TENANT } from './port.ts'

/** A tenant's statement adds a row. */
export const prepareSql: Prepare<'sql'> = async (sql) => {
  const up = 'create table rows (tenant text not null, number integer not null, text text not null, primary key (tenant, number))'
  await sql.migrate('bench', [{ name: '001-rows', up }])
  return {
    async one(index) {
      const { rowCount } = await sql.tenant(TENANT).query('insert into bench.rows values ($1, $2, $3)', [TENANT, index, 'x'.repeat(100)])
      if (rowCount !== 1) throw new Error(`${rowCount} rows were added`)
    },
  }
}
