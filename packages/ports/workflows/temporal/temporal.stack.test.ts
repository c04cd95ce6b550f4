import { randomBytes } from 'node:crypto'
import { createServer, connect as dial, type Socket } from 'node:net'
import { Client, Connection } from '@temporalio/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openPostgresJournal } from '../../journal/postgres.ts'
import { openPostgres } from '../../sql/postgres.ts'
import { openTestSql } from '../../sql/testing.ts'
import { fromStack } from '../../testing.ts'
import { parked, talking } from '../conformance/promised.workflow.ts'
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

async function openPlace() {
  const shared = await openTestSql()
  const taskQueue = `conformance-${randomBytes(4).toString('hex')}`
  return {
    taskQueue,
    async openEngine() {
      // A pool and a line of its own, as another process would have, so that cutting them stops all it could still do.
      const application_name = `engine-${randomBytes(4).toString('hex')}`
      const sql = await openPostgres({ connection: { ...shared.connection, application_name }, poolSize: 5 })
      const journal = await openPostgresJournal(sql)
      const line = await openLine(fromStack('SOMA_TEMPORAL_ADDRESS'))
      const server = { address: line.address, namespace: 'default', taskQueue, tls: false }
      const engine = await openTemporalWorkflows({ sql, journal, server, lossMilliseconds: 3000 })
      let closed: Promise<void> | undefined
      const close = async () => {
        await engine.stop()
        await journal.close()
        await sql.close()
        line.cut()
      }
      const stop = () => {
        closed ??= close()
        return closed
      }
      return {
        engine: { ...engine, stop },
        async crash() {
          line.cut()
          await shared.pool.query('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [application_name])
          // What is left of it reaches nothing any more; it must only not use up the machine.
          closed = close().catch(() => undefined)
        },
      }
    },
    close: () => shared.close(),
  }
}

// A step takes tens of milliseconds on Temporal's development server. Two hundred are more than two of its histories hold.
workflowsConformance('temporal', openPlace, { runsAtOnce: 30, stepsOfOneRun: 200 })

describe('temporal alone', () => {
  const tenant = 'acme'
  let place: Awaited<ReturnType<typeof openPlace>>
  beforeAll(async () => {
    place = await openPlace()
  })
  afterAll(() => place.close())

  test('a change is told in every process, in the one that works on the run with its state', async () => {
    const worker = (await place.openEngine()).engine
    const watcher = (await place.openEngine()).engine
    const near: unknown[] = []
    const far: unknown[] = []
    worker.onChange((change) => near.push(change))
    watcher.onChange((change) => far.push(change))
    await worker.start({ workflows: [talking], activities: {} })
    await worker.startRun({ workflow: 'talking', runId: 'watched', tenant, input: {} })
    const run = { tenant, runId: 'watched' }
    await expect.poll(() => near).toContainEqual({ ...run, status: 'running', state: { at: 'first' } })
    await expect.poll(() => far).toContainEqual({ ...run, status: 'running' })
    await worker.signal({ ...run, name: 'on' })
    await expect.poll(() => far).toContainEqual({ ...run, status: 'completed' })
    await Promise.all([worker.stop(), watcher.stop()])
  })

  test('a run that somebody terminates on Temporal ends as failed, with what happened', async () => {
    const { engine } = await place.openEngine()
    await engine.start({ workflows: [parked], activities: {} })
    const run = { tenant, runId: 'terminated' }
    await engine.startRun({ workflow: 'parked', ...run, input: {} })
    const outcome = engine.result(run).catch((error) => error)
    const connection = await Connection.connect({ address: fromStack('SOMA_TEMPORAL_ADDRESS') })
    await new Client({ connection }).workflow.getHandle(`${place.taskQueue}/acme/terminated`).terminate()
    await connection.close()
    expect(await outcome).toMatchObject({ code: 'workflow_failed', message: expect.stringMatching(/terminated/) })
    expect(await engine.describe(run)).toMatchObject({ status: 'failed' })
    await engine.stop()
  })
})
