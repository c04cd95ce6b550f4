import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgres } from '@soma/ports/sql/postgres'
import { addUp } from '@soma/ports/workflows/conformance/promised.workflow'
import { openTemporalWorkflows } from '@soma/ports/workflows/temporal/engine'

/** A process of its own that works on one run and leaves a row for each time an activity does something. Made to be killed. */
const { url, address, taskQueue, runId, steps } = JSON.parse(process.argv[2] as string) as {
  url: string
  address: string
  taskQueue: string
  runId: string
  steps: number
}
const tenant = 'acme'
const sql = await openPostgres({ connection: { connectionString: url }, poolSize: 5 })
const journal = await openPostgresJournal(sql)
const server = { address, namespace: 'default', taskQueue, tls: false }
const engine = await openTemporalWorkflows({ sql, journal, server, lossMilliseconds: 3000 })
await engine.start({
  workflows: [addUp],
  activities: {
    double: async ({ step }: { step: number }, { key }) => {
      await sql.platform.query('insert into effects.effects (key) values ($1)', [key])
      return step * 2
    },
  },
})
await engine.startRun({ workflow: addUp.name, runId, tenant, input: { steps } })
console.log(JSON.stringify(await engine.result({ tenant, runId })))
await engine.stop()
await journal.close()
await sql.close()
