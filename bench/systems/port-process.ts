import { loadConfig } from '@soma/kernel/config/config'
import type { PROFILES } from '@soma/kernel/config/schema'
import { type Ground, openPort, openSql } from '@soma/kernel/platform/drivers'
import { memory, parametersOfChild, serve } from '../child.ts'
import type { MeasuredPorts, Operations, PortName, Prepare } from '../ports/port.ts'
import { repeatFor } from '../statistics.ts'

/** Each library is loaded only in the process that measures it. */
const OPERATIONS: { [Port in PortName]: () => Promise<Prepare<Port>> } = {
  sql: async () => (await import('../ports/sql.ts')).prepareSql,
  journal: async () => (await import('../ports/journal.ts')).prepareJournal,
  workflows: async () => (await import('../ports/workflows.ts')).prepareWorkflows,
  events: async () => (await import('../ports/events.ts')).prepareEvents,
  locks: async () => (await import('../ports/locks.ts')).prepareLocks,
  cache: async () => (await import('../ports/cache.ts')).prepareCache,
  broadcast: async () => (await import('../ports/broadcast.ts')).prepareBroadcast,
  objects: async () => (await import('../ports/objects.ts')).prepareObjects,
  vectors: async () => (await import('../ports/vectors.ts')).prepareVectors,
  analytics: async () => (await import('../ports/analytics.ts')).prepareAnalytics,
  policy: async () => (await import('../ports/policy.ts')).preparePolicy,
  secrets: async () => (await import('../ports/secrets.ts')).prepareSecrets,
  models: async () => (await import('../ports/models.ts')).prepareModels,
}

export interface PortSystem {
  port: PortName
  profile: keyof typeof PROFILES
  /** Where the embedded drivers keep what they have. */
  data: string
  /** `stack.env`, with the addresses of the servers. */
  addresses: string
}

const { port, profile, data, addresses } = parametersOfChild<PortSystem>()
const config = await loadConfig({ cwd: data, env: { SOMA_PROFILE: profile, SOMA_STACK_ENV: addresses }, overrides: { data } })
const openSeconds: Partial<Record<PortName, number>> = {}
const sql = await timed('sql', () => openSql(config, data))
const journal = await timed('journal', async () => (await import('@soma/ports/journal/postgres')).openPostgresJournal(sql))
const ground: Ground = { config, data, sql, journal, logger: console }
const driver = port === 'sql' || port === 'journal' ? ground[port] : await timed(port, () => openPort(port, ground))
const operations = await prepare(port, driver)
let lastIndex = 0

async function timed<Driver extends object>(name: PortName, open: () => Promise<Driver>): Promise<Driver> {
  const before = performance.now()
  const opened = await open()
  // Some drivers ask their server only when they are first used.
  if ('version' in opened && typeof opened.version === 'function') await opened.version()
  openSeconds[name] = (performance.now() - before) / 1000
  return opened
}

async function prepare<Port extends PortName>(name: Port, opened: MeasuredPorts[Port]): Promise<Operations> {
  const prepareOperations: Prepare<Port> = await OPERATIONS[name]()
  return prepareOperations(opened, ground)
}

async function one(index: number): Promise<number> {
  await operations.one(index)
  return 1
}

const methods = {
  opened: async () => ({
    driver: port === 'sql' || port === 'journal' ? (config.sql.url ? 'postgres' : 'embedded') : config.drivers[port],
    openSeconds: openSeconds[port] as number,
  }),
  /** Milliseconds of each operation, one after the other, for so many seconds. */
  async alone(seconds: number): Promise<number[]> {
    const milliseconds: number[] = []
    await repeatFor(seconds, 1, async () => {
      const before = performance.now()
      await operations.one(++lastIndex)
      milliseconds.push(performance.now() - before)
    })
    return milliseconds
  },
  /** Operations a second, begun within so many seconds. */
  async together({ seconds, atOnce }: { seconds: number; atOnce: number }): Promise<number> {
    const several = operations.several ?? one
    let done = 0
    const before = performance.now()
    await repeatFor(seconds, atOnce, async () => {
      // Not in one statement, which would read `done` before the wait.
      const more = await several(++lastIndex)
      done += more
    })
    await operations.arrived?.()
    return (done / (performance.now() - before)) * 1000
  },
  memory,
}
export type PortMethods = typeof methods

serve(methods, async () => {
  await operations.close?.()
  if (driver !== sql && driver !== journal) await ('stop' in driver ? driver.stop() : driver.close())
  await journal.close()
  await sql.close()
})
