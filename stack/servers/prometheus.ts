import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { Cache } from '../cache.ts'
import { debianEnvironment, installDebian } from '../install/debian.ts'
import { defineServer, type Place } from '../server.ts'

/** What Debian 12 has. */
const VERSION = '2.42'
/** What people run it with. */
const DEPLOYED = fileURLToPath(new URL('../../deploy/prometheus', import.meta.url))

const binary = (cache: Cache, name: string) => cache.path('debian/prometheus', 'usr/bin', name)

/** Prometheus with the configuration and the rules of `deploy/prometheus`; processes to scrape are named in files of `targets/`. */
export const prometheus = defineServer({
  name: 'prometheus',
  summary: 'Metrics and alert rules',
  version: VERSION,
  ports: ['server'],
  async install(cache) {
    await installDebian(cache, 'prometheus')
  },
  async start(place, cache) {
    await configure(place)
    await place.run({
      name: 'prometheus',
      command: binary(cache, 'prometheus'),
      args: [
        `--config.file=${join(place.folder, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(place.folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${place.port('server')}`,
        '--web.enable-lifecycle',
        '--log.level=warn',
      ],
      env: debianEnvironment(cache.path('debian/prometheus')),
    })
  },
  async checkReady(place) {
    const { status } = await fetch(`${urlOf(place)}/-/ready`, { signal: AbortSignal.timeout(2000) })
    if (status !== 200) throw new Error(`Prometheus says ${status} of itself.`)
  },
  env: (place) => ({ PROMETHEUS_URL: urlOf(place), PROMETHEUS_TARGETS: targets(place) }),
  readVersion: async (place) => {
    const response = await fetch(`${urlOf(place)}/api/v1/status/buildinfo`, { signal: AbortSignal.timeout(2000) })
    return BuildInfo.parse(await response.json()).data.version
  },
})

const targets = (place: Place) => join(place.folder, 'targets')

/** Asks every second where people's asks every 15, so that a test need not wait. */
async function configure(place: Place): Promise<void> {
  await mkdir(targets(place), { recursive: true })
  await cp(join(DEPLOYED, 'rules'), join(place.folder, 'rules'), { recursive: true })
  const configuration = await readFile(join(DEPLOYED, 'prometheus.yml'), 'utf8')
  await writeFile(join(place.folder, 'prometheus.yml'), configuration.replaceAll(': 15s', ': 1s'))
}

const BuildInfo = z.object({ data: z.object({ version: z.string() }) })

function urlOf(place: Place): string {
  return `http://127.0.0.1:${place.port('server')}`
}
