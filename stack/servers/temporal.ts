import { join } from 'node:path'
import { installGo } from '../install/go.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = 'v1.5.1'
const PROGRAM = 'github.com/temporalio/cli/cmd/temporal'

/** Temporal's development server: all of its services in one process on SQLite. Those talk to each other over further ports of loopback. */
export const temporal = defineServer({
  name: 'temporal',
  summary: 'Workflows',
  version: VERSION,
  ports: ['frontend', 'http', 'metrics'],
  async install(cache) {
    await installGo(cache, PROGRAM, VERSION)
  },
  async start(place, cache) {
    const flags = {
      ip: '127.0.0.1',
      port: place.port('frontend'),
      'http-port': place.port('http'),
      'metrics-port': place.port('metrics'),
      'db-filename': join(place.folder, 'temporal.db'),
      'log-level': 'error',
      // An eighth of the default, so that a run of a few hundred steps comes to the place where a fresh history must take over.
      'dynamic-config-value': 'limit.historyCount.suggestContinueAsNew=512',
    }
    const args = ['server', 'start-dev', '--headless', ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)])]
    await place.run({ name: 'temporal', command: await installGo(cache, PROGRAM, VERSION), args })
  },
  async checkReady(place) {
    await ask(place, 'namespaces/default')
  },
  env: (place) => ({ SOMA_TEMPORAL_ADDRESS: `127.0.0.1:${place.port('frontend')}` }),
  async readVersion(place) {
    const { serverVersion } = (await ask(place, 'system-info')) as { serverVersion: string }
    return serverVersion
  },
})

async function ask(place: Place, path: string): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${place.port('http')}/api/v1/${path}`, { signal: AbortSignal.timeout(2000) })
  if (!response.ok) throw new Error(`Temporal answers ${response.status} to ${path}.`)
  return response.json()
}
