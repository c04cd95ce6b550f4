import { createPublicKey, generateKeyPairSync, randomInt } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import getPort, { portNumbers } from 'get-port'
import type { Cache } from '../cache.ts'
import { installGo } from '../install/go.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = 'v1.22.2'
const policies = (name: string) => fileURLToPath(new URL(`../../policies/opa/${name}`, import.meta.url))
/** The program, which also packs, tests and evaluates. */
export const opaProgram = (cache: Cache) => installGo(cache, 'github.com/open-policy-agent/opa', VERSION)

/**
 * Open Policy Agent, configured as in production: it fetches its bundle from the policy-engine and takes only what is signed with the
 * platform's key. Address, token and key are settled here, before either of the two runs.
 */
export const opa = defineServer({
  name: 'opa',
  summary: 'Decisions by the constitution',
  version: VERSION,
  ports: ['server'],
  async install(cache) {
    await opaProgram(cache)
  },
  async start(place, cache) {
    await makeAgreement(place)
    await place.run({
      name: 'opa',
      command: await opaProgram(cache),
      args: [
        ...['run', '--server', '--addr', `127.0.0.1:${place.port('server')}`, '--log-level', 'error', '--skip-version-check'],
        ...['--config-file', policies('config.yaml'), '--set-file', `keys.soma.key=${agreed(place, 'public.pem')}`],
        ...['--authentication', 'token', '--authorization', 'basic', '--optimize-store-for-read-speed', policies('authz.rego')],
      ],
      env: {
        BUNDLE_URL: `http://127.0.0.1:${bundlePort(place)}`,
        BUNDLE_TOKEN: place.secret('bundle token'),
        ASK_TOKEN: place.secret('token'),
      },
    })
  },
  async checkReady(place) {
    await ask(place, '/health')
  },
  env: (place) => ({
    SOMA_OPA_URL: urlOf(place),
    SOMA_OPA_TOKEN: place.secret('token'),
    SOMA_OPA_BUNDLE_PORT: bundlePort(place),
    SOMA_OPA_BUNDLE_TOKEN: place.secret('bundle token'),
    SOMA_OPA_SIGNING_KEY: readFileSync(agreed(place, 'private.pem'), 'utf8'),
  }),
  async readVersion(place) {
    const { result } = (await (await ask(place, '/v1/status')).json()) as { result: { labels: { version: string } } }
    return result.labels.version
  },
})

/**
 * What OPA and the platform must agree on beside their tokens: keys, and the port on which the platform will serve the bundle. That is
 * none of `ports`, for it stays the same although the platform may hold it when OPA is started again. It lies below those that the
 * system gives to outgoing connections, so that none of them takes it while the platform is down.
 */
async function makeAgreement(place: Place): Promise<void> {
  if (existsSync(agreed(place, 'bundle-port'))) return
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicKey = createPublicKey(privateKey)
  await writeFile(agreed(place, 'private.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  await writeFile(agreed(place, 'public.pem'), publicKey.export({ type: 'spki', format: 'pem' }))
  const first = randomInt(10_000, 30_000)
  await writeFile(agreed(place, 'bundle-port'), String(await getPort({ host: '127.0.0.1', port: portNumbers(first, first + 100) })))
}

const agreed = (place: Place, file: string) => join(place.folder, file)
const bundlePort = (place: Place) => readFileSync(agreed(place, 'bundle-port'), 'utf8')
const urlOf = (place: Place) => `http://127.0.0.1:${place.port('server')}`

async function ask(place: Place, path: string): Promise<Response> {
  const headers = { authorization: `Bearer ${place.secret('token')}` }
  const answer = await fetch(urlOf(place) + path, { headers, signal: AbortSignal.timeout(2000) })
  if (!answer.ok) throw new Error(`OPA answers ${answer.status}`)
  return answer
}
