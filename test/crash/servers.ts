import { join } from 'node:path'
import { SERVERS } from '@soma/stack/servers'
import { openStack } from '@soma/stack/stack'

/** The real servers that a crash test runs on and kills. */
export interface KilledServers {
  /** Those that may be killed; the database may not, for its death is the platform's. */
  names: readonly string[]
  /** Settings of the platform that lead to them. */
  env: Record<string, string>
  /** kill -9, then up again where it was. */
  killAndRestart(name: string): Promise<void>
  remove(): Promise<void>
}

/** Which driver a server stands behind. */
const DRIVERS: Readonly<Record<string, Record<string, string>>> = {
  temporal: { SOMA_DRIVERS_WORKFLOWS: 'temporal' },
  kafka: { SOMA_DRIVERS_EVENTS: 'kafka' },
}

/** @param names `temporal`, `kafka`; empty: everything embedded @throws for another name */
export async function startServers(folder: string, names: readonly string[]): Promise<KilledServers | undefined> {
  if (names.length === 0) return undefined
  const unknown = names.find((name) => !DRIVERS[name])
  if (unknown) throw new Error(`--on takes ${Object.keys(DRIVERS).join(' and ')}, not "${unknown}".`)
  const stack = openStack(SERVERS, join(folder, 'stack'))
  await stack.up(['postgres', ...names], ({ name }, step, _milliseconds, detail = '') => console.log(`${name} ${step} ${detail}`))
  return {
    names,
    env: Object.assign(await stack.env(), ...names.map((name) => DRIVERS[name])) as Record<string, string>,
    async killAndRestart(name) {
      await stack.down([name], { signal: 'SIGKILL' })
      await stack.up([name])
    },
    remove: () => stack.remove(),
  }
}
