import pg from 'pg'
import { CONNECTIONS, type OpenSystem, STEPS } from './system.ts'

/** No engine at all: five INSERTs, each in a transaction of its own. What one durable record a step costs at the least without grouping. */
export const openFloor: OpenSystem = async (connection) => {
  const pool = new pg.Pool({ ...connection, max: CONNECTIONS })
  await pool.query('create table steps (run text not null, step integer not null, output json not null, primary key (run, step))')
  return {
    async runOnce(id) {
      let sum = 0
      for (let step = 1; step <= STEPS; step++) {
        sum += step
        await pool.query({
          name: 'insert-step',
          text: 'insert into steps (run, step, output) values ($1, $2, $3)',
          values: [id, step, JSON.stringify({ sum })],
        })
      }
      return sum
    },
    close: () => pool.end(),
  }
}
