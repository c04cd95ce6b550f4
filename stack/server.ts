import type { Cache } from './cache.ts'

/** Where one server runs: its folder, its ports and what it must keep to itself. The same at every start. */
export interface Place {
  /** The server's own folder, for its data and its configuration. Kept until the stack is deleted. */
  folder: string
  /** The port on loopback for one of the server's `ports`. */
  port(name: string): number
  /** A password made for this stack, 32 characters. */
  secret(name: string): string
  /** Variables that the servers of `after` gave. */
  env: Readonly<Record<string, string>>
  /** Starts a process of the server that outlives us. What it prints goes to `<name>.log` in the folder. */
  run(process: ServerProcess): Promise<void>
}

export interface ServerProcess {
  /** `redis`, `sentinel-1`: one server may be several processes. */
  name: string
  command: string
  args: readonly string[]
  env?: Record<string, string>
  /** Not as root: some servers refuse it. */
  unprivileged?: boolean
}

/** A real server of the stack: how it comes onto the machine, starts, is known to be ready, and is found by the platform. */
export interface Server {
  /** `redis` */
  name: string
  /** What the platform uses it for. */
  summary: string
  /** Of the server, pinned. */
  version: string
  /** Ports it listens on, by what they are for. */
  ports: readonly string[]
  /** Servers that must be ready before it starts. */
  after?: readonly string[]
  /** Brings it into the cache, unless it is there. */
  install(cache: Cache): Promise<void>
  /** Starts its processes; what must be made first (a cluster, a configuration file) is made here, once. */
  start(place: Place, cache: Cache): Promise<void>
  /** Throws while it can't take work. Asked every 100 ms after the start. */
  checkReady(place: Place): Promise<void>
  /** Variables for `stack.env`: `SOMA_*` ones are settings of the platform, others are for tests. */
  env(place: Place): Record<string, string>
  /** What the server says its version is; proves that it answers. */
  readVersion(place: Place, cache: Cache): Promise<string>
}

export function defineServer(server: Server): Server {
  return server
}
