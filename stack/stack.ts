import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as pass } from 'node:timers/promises'
import getPort, { clearLockedPorts } from 'get-port'
import { type Cache, openCache } from './cache.ts'
import { withLock } from './lock.ts'
import { isAlive } from './process-identity.ts'
import { endProcess, runProcess } from './run-process.ts'
import type { Place, Server } from './server.ts'
import { readState, type ServerState, type State, writeState } from './state.ts'

const READY_WITHIN_MILLISECONDS = 180_000

export type Progress = (
  server: Server,
  step: 'installed' | 'ready' | 'was ready' | 'stopped',
  milliseconds: number,
  detail?: string,
) => void

export interface ServerStatus {
  server: Server
  processes: { name: string; pid: number; isAlive: boolean }[]
  version?: string
  ports: Record<string, number>
  isReady: boolean
}

/** Real servers on this machine, on loopback. Everything about them is kept in one folder. */
export interface Stack {
  /** `.stack` of the current folder, or SOMA_STACK. */
  folder: string
  /** Installs and starts these servers and those they need; what runs already stays. Several callers take turns. */
  up(names: readonly string[], progress?: Progress): Promise<void>
  /** Stops these servers, those that were started last first. Their data stay. */
  down(names: readonly string[], options?: { signal?: NodeJS.Signals; progress?: Progress }): Promise<void>
  /** Stops everything and throws its data away. */
  remove(progress?: Progress): Promise<void>
  status(): Promise<ServerStatus[]>
  /** Variables of all servers that run. */
  env(): Promise<Record<string, string>>
  /** A server's state, as it was when it was last started. @throws for one that never was */
  stateOf(name: string): Promise<ServerState>
}

/** @param servers all there are, in the order in which they may start */
export function openStack(servers: readonly Server[], folder = process.env.SOMA_STACK || '.stack', cache: Cache = openCache()): Stack {
  const home = resolve(folder)
  const inTurn = async <Result>(work: (state: State) => Promise<Result>): Promise<Result> => {
    await mkdir(home, { recursive: true, mode: 0o700 })
    return withLock(join(home, 'lock'), async () => work(await readState(home)))
  }

  async function install(server: Server, progress?: Progress): Promise<void> {
    const began = performance.now()
    await server.install(cache)
    progress?.(server, 'installed', performance.now() - began)
  }

  async function start(server: Server, state: State, progress?: Progress): Promise<void> {
    const known = state[server.name]
    const own: ServerState = {
      ports: await choosePorts(server, known?.ports ?? {}),
      secrets: known?.secrets ?? {},
      processes: [],
      env: {},
    }
    state[server.name] = own
    const place = await placeOf(server, own, state)
    const startedAt = performance.now()
    try {
      await server.start(place, cache)
      await becomeReady(server, place, own)
    } catch (error) {
      for (const process of own.processes) await endProcess(process)
      own.processes = []
      throw error
    } finally {
      await writeState(home, state)
    }
    own.env = server.env(place)
    own.version = await server.readVersion(place, cache)
    await writeState(home, state)
    progress?.(server, 'ready', performance.now() - startedAt, own.version)
  }

  async function placeOf(server: Server, own: ServerState, state: State): Promise<Place> {
    const folder = join(home, server.name)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return {
      folder,
      port: (name) => own.ports[name] as number,
      secret: (name) => {
        own.secrets[name] ??= randomBytes(24).toString('base64url')
        return own.secrets[name]
      },
      env: Object.assign({}, ...(server.after ?? []).map((name) => state[name]?.env)) as Record<string, string>,
      run: async (process) => {
        own.processes.push({ name: process.name, ...(await runProcess(folder, process)) })
        // Known at once, so that a start that is killed leaves nothing behind that nobody knows of.
        await writeState(home, state)
      },
    }
  }

  return {
    folder: home,
    up: async (names, progress) => {
      const wanted = withNeeded(servers, names)
      // Long, and safe beside others, so nobody waits for it who needs only what is there.
      for (const server of wanted) await install(server, progress)
      await inTurn(async (state) => {
        for (const server of wanted) {
          if (await runs(state[server.name])) progress?.(server, 'was ready', 0, state[server.name]?.version)
          else {
            // Of several processes some may still run.
            await stop(server, state)
            await start(server, state, progress)
          }
        }
      })
    },
    down: (names, { signal, progress } = {}) =>
      inTurn(async (state) => {
        for (const server of chosen(servers, names).reverse()) await stop(server, state, signal, progress)
        await writeState(home, state)
      }),
    remove: async (progress) => {
      await inTurn(async (state) => {
        for (const server of servers.toReversed()) await stop(server, state, 'SIGKILL', progress)
      })
      await rm(home, { recursive: true, force: true })
    },
    status: async () => {
      const state = await readState(home)
      return Promise.all(chosen(servers, []).map((server) => statusOf(server, state)))
    },
    env: async () =>
      Object.assign({}, ...Object.values(await readState(home)).map(({ env, processes }) => (processes.length > 0 ? env : {}))),
    stateOf: async (name) => {
      const own = (await readState(home))[name]
      if (!own) throw new Error(`The server "${name}" was never started in ${home}. Start it with: npm run stack -- up ${name}`)
      return own
    },
  }

  async function statusOf(server: Server, state: State): Promise<ServerStatus> {
    const own = state[server.name]
    const processes = await Promise.all(
      (own?.processes ?? []).map(async (process) => ({ name: process.name, pid: process.pid, isAlive: await isAlive(process) })),
    )
    const answers = own && processes.length > 0 && (await isReady(server, await placeOf(server, own, state)))
    return { server, processes, version: own?.version, ports: own?.ports ?? {}, isReady: answers === true }
  }
}

async function isReady(server: Server, place: Place): Promise<boolean> {
  return server.checkReady(place).then(
    () => true,
    () => false,
  )
}

async function runs(state: ServerState | undefined): Promise<boolean> {
  if (!state || state.processes.length === 0 || state.version === undefined) return false
  return (await Promise.all(state.processes.map(isAlive))).every(Boolean)
}

async function stop(server: Server, state: State, signal?: NodeJS.Signals, progress?: Progress): Promise<void> {
  const own = state[server.name]
  if (!own || own.processes.length === 0) return
  const began = performance.now()
  await Promise.all(own.processes.map((process) => endProcess(process, signal)))
  own.processes = []
  progress?.(server, 'stopped', performance.now() - began)
}

/** The ports of the last time, unless somebody else has taken one meanwhile: clients find a restarted server where it was. */
async function choosePorts(server: Server, last: Record<string, number>): Promise<Record<string, number>> {
  // It would keep a port from its own server for half a minute.
  clearLockedPorts()
  const ports: Record<string, number> = {}
  for (const name of server.ports) ports[name] = await getPort({ host: '127.0.0.1', port: last[name], exclude: Object.values(ports) })
  return ports
}

async function becomeReady(server: Server, place: Place, own: ServerState): Promise<void> {
  const deadline = Date.now() + READY_WITHIN_MILLISECONDS
  for (;;) {
    try {
      await server.checkReady(place)
      return
    } catch (cause) {
      for (const process of own.processes)
        if (!(await isAlive(process)))
          throw new Error(`${process.name} ended while it started. See ${join(place.folder, `${process.name}.log`)}`, { cause })
      if (Date.now() > deadline)
        throw new Error(`${server.name} was not ready after ${READY_WITHIN_MILLISECONDS / 1000} s: ${String(cause)}. See ${place.folder}`, {
          cause,
        })
      await pass(100)
    }
  }
}

/** @param names empty: all @throws for a name that no server has */
function chosen(servers: readonly Server[], names: readonly string[]): Server[] {
  for (const name of names)
    if (!servers.some((server) => server.name === name))
      throw new Error(`There is no server "${name}". There are: ${servers.map((server) => server.name).join(', ')}.`)
  return servers.filter(({ name }) => names.length === 0 || names.includes(name))
}

function withNeeded(servers: readonly Server[], names: readonly string[]): Server[] {
  const needed = new Set<string>()
  const need = (server: Server): void => {
    for (const name of server.after ?? []) for (const before of chosen(servers, [name])) need(before)
    needed.add(server.name)
  }
  for (const server of chosen(servers, names)) need(server)
  return servers.filter(({ name }) => needed.has(name))
}
