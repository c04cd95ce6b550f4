import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgres } from '@soma/ports/sql/postgres'
import { openJournalWorkflows } from '@soma/ports/workflows/journal-engine/engine'
import { activities, addUp } from './add-up.workflow.ts'
import { CONNECTIONS, type OpenSystem } from './system.ts'

const tenant = 'bench'

/** The platform's journal engine, as the server opens it. */
export const openSoma: OpenSystem = async (connection) => {
  const sql = await openPostgres({ connection, poolSize: CONNECTIONS })
  const journal = await openPostgresJournal(sql)
  const engine = await openJournalWorkflows({ sql, journal })
  await engine.start({ workflows: [addUp], activities })
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
