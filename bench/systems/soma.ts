import { defineWorkflow } from '@soma/contracts/workflow'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgres } from '@soma/ports/sql/postgres'
import { openJournalWorkflows } from '@soma/ports/workflows/journal-engine/engine'
import { CONNECTIONS, type OpenSystem, STEPS } from './system.ts'

const tenant = 'bench'

const addUp = defineWorkflow({
  name: 'add-up',
  module: import.meta.url,
  run: async (context) => {
    let sum = 0
    for (let step = 1; step <= STEPS; step++) sum = await context.activity<number>('add', { sum, step })
    return sum
  },
})

/** The platform's journal engine, as the server opens it. */
export const openSoma: OpenSystem = async (connection) => {
  const sql = await openPostgres({ connection, poolSize: CONNECTIONS })
  const journal = await openPostgresJournal(sql)
  const engine = await openJournalWorkflows({ sql, journal })
  await engine.start({
    workflows: [addUp],
    activities: { add: async ({ sum, step }: { sum: number; step: number }) => sum + step },
  })
  return {
    async runOnce(runId) {
      await engine.startRun({ workflow: 'add-up', runId, tenant, input: {} })
      return engine.result<number>({ tenant, runId })
    },
    async close() {
      await engine.stop()
      await journal.close()
      await sql.close()
    },
  }
}
