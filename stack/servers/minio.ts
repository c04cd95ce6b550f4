import { join } from 'node:path'
import { installGo } from '../install/go.ts'
import { defineServer, type Place } from '../server.ts'

const PROGRAM = 'github.com/minio/minio'
/** The last one: a commit, for the module has no tags that Go understands. */
const VERSION = 'v0.0.0-20260212201848-7aac2a2c5b7c'
const USER = 'soma'

/** MinIO, one node with one folder. */
export const minio = defineServer({
  name: 'minio',
  summary: 'Objects, by the S3 API',
  version: VERSION,
  ports: ['server', 'console'],
  async install(cache) {
    await installGo(cache, PROGRAM, VERSION)
  },
  async start(place, cache) {
    const command = await installGo(cache, PROGRAM, VERSION)
    const listen = ['--address', `127.0.0.1:${place.port('server')}`, '--console-address', `127.0.0.1:${place.port('console')}`]
    await place.run({
      name: 'minio',
      command,
      args: ['server', '--quiet', ...listen, join(place.folder, 'objects')],
      env: { MINIO_ROOT_USER: USER, MINIO_ROOT_PASSWORD: place.secret('password'), MINIO_UPDATE: 'off', MINIO_CALLHOME_ENABLE: 'off' },
    })
  },
  async checkReady(place) {
    await askIsReady(place)
  },
  env: (place) => ({
    SOMA_S3_ENDPOINT: urlOf(place),
    SOMA_S3_ACCESS_KEY_ID: USER,
    SOMA_S3_SECRET_ACCESS_KEY: place.secret('password'),
  }),
  // Built from source it says "DEVELOPMENT"; the day in the module's version is that of the commit.
  async readVersion(place) {
    await askIsReady(place)
    return VERSION.replace(/^v0\.0\.0-(\d{4})(\d{2})(\d{2}).*$/, '$1-$2-$3')
  },
})

async function askIsReady(place: Place): Promise<void> {
  const answer = await fetch(`${urlOf(place)}/minio/health/ready`, { signal: AbortSignal.timeout(2000) })
  if (!answer.ok) throw new Error(`minio answers ${answer.status}`)
}

function urlOf(place: Place): string {
  return `http://127.0.0.1:${place.port('server')}`
}
