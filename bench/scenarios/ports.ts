import { mkdir, readFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { type Child, type Memory, startChild } from '../child.ts'
import { memoryOfTrees } from '../memory.ts'
import type { PortName } from '../ports/port.ts'
import { type Servers, startServers } from '../servers.ts'
import { median, quantile } from '../statistics.ts'
import type { PortMethods, PortSystem } from '../systems/port-process.ts'
import type { Goal, Options, Scenario, Table } from './scenario.ts'

type Profile = PortSystem['profile']

interface Plan {
  /** The real one, of the stack. */
  server: string
  /** What the embedded driver stands on: PostgreSQL from npm, its process alone, or there is no embedded driver. */
  embedded: 'postgres' | 'process' | 'none'
  /** Operations at a time when there are many. */
  atOnce: number
}

const PLANS: Record<PortName, Plan> = {
  sql: { server: 'postgres', embedded: 'postgres', atOnce: 50 },
  journal: { server: 'postgres', embedded: 'postgres', atOnce: 1000 },
  workflows: { server: 'temporal', embedded: 'postgres', atOnce: 50 },
  events: { server: 'kafka', embedded: 'postgres', atOnce: 20 },
  locks: { server: 'redis', embedded: 'postgres', atOnce: 50 },
  cache: { server: 'redis', embedded: 'postgres', atOnce: 50 },
  broadcast: { server: 'redis', embedded: 'postgres', atOnce: 50 },
  objects: { server: 'minio', embedded: 'process', atOnce: 50 },
  vectors: { server: 'qdrant', embedded: 'process', atOnce: 50 },
  analytics: { server: 'clickhouse', embedded: 'process', atOnce: 50 },
  policy: { server: 'opa', embedded: 'process', atOnce: 10 },
  secrets: { server: 'openbao', embedded: 'postgres', atOnce: 50 },
  models: { server: 'ray', embedded: 'none', atOnce: 50 },
}
/** All that are measured. */
export const PORTS = Object.keys(PLANS) as PortName[]

interface Measured {
  port: PortName
  profile: Profile
  driver: string
  /** Of the driver, on an empty folder or database, until what stands behind it has answered. */
  openSeconds: number
  /** Of the real server, on an empty folder, until it takes work. */
  startSeconds?: number
  /** Per round: milliseconds of each operation alone. */
  alone: number[][]
  /** Per round: operations a second, many at a time. */
  together: number[]
  /** Of the driver's process. */
  memory?: Memory
  /** Of the server's processes, in MB. */
  serverMB?: number
  /** Average of the machine's last minute, at the end. */
  load?: number
}

interface System {
  child: Child<PortMethods>
  measured: Measured
  /** Undefined where there is no server. */
  readServerMB(): Promise<number | undefined>
}

const p99 = ({ alone }: Measured) => quantile(alone.flat(), 0.99)
const perSecond = ({ together }: Measured) => median(together)

/** What figures are held against. */
const GOALS: readonly { says: string; port: PortName; profile: Profile; measure: typeof p99; isMet(value: number): boolean }[] = [
  {
    says: 'Kafka: 20,000 events/s from publishing into the topic',
    port: 'events',
    profile: 'stack',
    measure: perSecond,
    isMet: (rate) => rate >= 20_000,
  },
  { says: 'Kafka: publish under 5 ms at p99', port: 'events', profile: 'stack', measure: p99, isMet: (ms) => ms < 5 },
  { says: 'lock on PostgreSQL under 2 ms at p99', port: 'locks', profile: 'embedded', measure: p99, isMet: (ms) => ms < 2 },
  { says: 'lock on Redis under 2 ms at p99', port: 'locks', profile: 'stack', measure: p99, isMet: (ms) => ms < 2 },
  { says: 'policy in process under 0.3 ms at p99', port: 'policy', profile: 'embedded', measure: p99, isMet: (ms) => ms < 0.3 },
  { says: 'policy over HTTP under 2 ms at p99', port: 'policy', profile: 'stack', measure: p99, isMet: (ms) => ms < 2 },
]

/** The main operation of each port, on the embedded driver and on the real server. */
export const ports: Scenario = async (options) => {
  const measured: Measured[] = []
  for (const port of options.ports ?? PORTS) measured.push(...(await measurePort(port, options)))
  return { tables: [tableOf(measured)], goals: goalsOf(measured), measured }
}

/** On servers that were started for this port, so that no other stands in the way. */
async function measurePort(port: PortName, options: Options): Promise<Measured[]> {
  const { server, embedded } = PLANS[port]
  options.say(`ports: ${port}: starting ${server}`)
  const servers = await startServers(['postgres', server])
  const systems: System[] = []
  try {
    if (embedded !== 'none') systems.push(await startSystem(port, 'embedded', servers))
    systems.push(await startSystem(port, 'stack', servers))
    await takeTurns(port, systems, options)
    for (const { child, measured, readServerMB } of systems) {
      measured.memory = await child.call('memory', undefined)
      measured.serverMB = await readServerMB()
      measured.load = loadavg()[0]
    }
  } finally {
    await Promise.all(systems.map(({ child }) => child.stop()))
    await servers.stop()
  }
  return systems.map(({ measured }) => measured)
}

async function startSystem(port: PortName, profile: Profile, servers: Servers): Promise<System> {
  const data = join(servers.folder, 'bench', profile)
  await mkdir(data, { recursive: true })
  const child = startChild<PortMethods>('systems/port-process.ts', {
    port,
    profile,
    data,
    addresses: servers.addresses,
  } satisfies PortSystem)
  const opened = await child.call('opened', undefined)
  const { server, embedded } = PLANS[port]
  const isReal = profile === 'stack'
  return {
    child,
    measured: { port, profile, ...opened, startSeconds: isReal ? servers.startSeconds(server) : undefined, alone: [], together: [] },
    async readServerMB() {
      if (isReal) return servers.memoryOf(server)
      return embedded === 'postgres' ? memoryOfTrees([await embeddedPostgres(data)]) : undefined
    },
  }
}

/** The process of the PostgreSQL in a data folder. */
async function embeddedPostgres(data: string): Promise<number> {
  return Number.parseInt(await readFile(join(data, 'postgres/cluster/postmaster.pid'), 'utf8'), 10)
}

async function takeTurns(port: PortName, systems: readonly System[], { rounds, quick, say }: Options): Promise<void> {
  const { atOnce } = PLANS[port]
  const alone = quick ? 0.2 : 0.5
  const together = { seconds: quick ? 0.4 : 1, atOnce }
  for (const { child } of systems) {
    await child.call('alone', alone)
    await child.call('together', together)
  }
  for (let round = 1; round <= rounds; round++) {
    say(`ports: ${port}: round ${round} of ${rounds}`)
    for (const { child, measured } of systems) measured.alone.push(await child.call('alone', alone))
    for (const { child, measured } of systems) measured.together.push(await child.call('together', together))
  }
}

function tableOf(measured: readonly Measured[]): Table {
  return {
    title: 'Ports: embedded, and on the real server',
    columns: ['', 'p50 ms', 'p99 ms', 'many/s', 'MB', 'srv MB', 'open s', 'start s', 'load'],
    rows: measured.map((system) => [
      `${system.port} ${system.driver}`,
      quantile(system.alone.flat(), 0.5),
      p99(system),
      perSecond(system),
      system.memory?.most ?? Number.NaN,
      system.serverMB ?? '',
      system.openSeconds,
      system.startSeconds ?? '',
      system.load ?? Number.NaN,
    ]),
  }
}

function goalsOf(measured: readonly Measured[]): Goal[] {
  return GOALS.flatMap(({ says, port, profile, measure, isMet }) =>
    measured
      .filter((system) => system.port === port && system.profile === profile)
      .map((system) => ({ says, measured: measure(system), met: isMet(measure(system)) })),
  )
}
