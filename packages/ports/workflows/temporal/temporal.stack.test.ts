import { randomBytes } from 'node:crypto'
import { createServer, connect as dial, type Socket } from 'node:net'
import { openPostgresJournal } from '../../journal/postgres.ts'
import { openPostgres } from '../../sql/postgres.ts'
import { openTestSql } from '../../sql/testing.ts'
import { fromStack } from '../../testing.ts'
import { workflowsConformance } from '../conformance.ts'
import { openTemporalWorkflows } from './engine.ts'

/** A way to Temporal that can be cut, as the end of a process cuts it. */
async function openLine(address: string) {
  const [host, port] = address.split(':') as [string, string]
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => sockets.add(socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket)))
  const server = createServer((near) => {
    const far = dial(Number(port), host)
    keep(near)
    keep(far)
    near.pipe(far).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(server.address() as { port: number }).port}`,
    cut() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

async function open() {
  const shared = await openTestSql()
  const taskQueue = `conformance-${randomBytes(4).toString('hex')}`
  return {
    async openEngine() {
      // A pool and a line of its own, as another process would have, so that cutting them stops all it could still do.
      const application_name = `engine-${randomBytes(4).toString('hex')}`
      const sql = await openPostgres({ connection: { ...shared.connection, application_name }, poolSize: 5 })
      const journal = await openPostgresJournal(sql)
      const line = await openLine(fromStack('SOMA_TEMPORAL_ADDRESS'))
      const server = { address: line.address, namespace: 'default', taskQueue, tls: false }
      const engine = await openTemporalWorkflows({ sql, journal, server, lossMilliseconds: 3000 })
      return {
        engine,
        async crash() {
          line.cut()
          await shared.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [application_name])
          void sql.pool.end()
          // What is left of it can't reach anything any more; it must only not use up the machine.
          void engine.stop().catch(() => undefined)
        },
      }
    },
    close: () => shared.close(),
  }
}

// A step takes tens of milliseconds on Temporal's development server. Three hundred are more than three of its histories hold.
workflowsConformance('temporal', open, { runsAtOnce: 30, stepsOfOneRun: 300 })
