import { openPostgresJournal } from '../../journal/postgres.ts'
import { openPostgres } from '../../sql/postgres.ts'
import { openTestSql } from '../../sql/testing.ts'
import { workflowsConformance } from '../conformance.ts'
import { openJournalWorkflows } from './engine.ts'

async function open() {
  const shared = await openTestSql()
  return {
    async openEngine() {
      // A pool of its own, as another process would have, so that cutting its connections stops all it could still write.
      const sql = await openPostgres({ connection: { ...shared.connection, application_name: `engine-${Math.random()}` }, poolSize: 5 })
      const journal = await openPostgresJournal(sql)
      const engine = await openJournalWorkflows({ sql, journal })
      const { rows } = await sql.platform.query("select current_setting('application_name') as name")
      return {
        engine,
        async crash() {
          await shared.superuser.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [rows[0].name])
          void sql.close()
        },
      }
    },
    close: () => shared.close(),
  }
}

workflowsConformance('journal engine', open, { runsAtOnce: 1000, stepsOfOneRun: 10_000 })
