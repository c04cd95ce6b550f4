import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Cache } from '../cache.ts'
import { buildGo } from '../install/go.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = '2.4.0'
const program = (cache: Cache) => buildGo(cache, 'openbao', VERSION)
const MOUNT = 'secret'

/** What the platform's token may do: its own secrets and, for `rotateKeys`, a new key for the server's barrier. */
const POLICY = `
path "${MOUNT}/data/soma/*" { capabilities = ["create", "update", "read"] }
path "${MOUNT}/metadata/soma/*" { capabilities = ["create", "update", "read", "list", "delete"] }
path "sys/rotate" { capabilities = ["update", "sudo"] }
`

/** OpenBao, the open continuation of Vault with the same API. Sealed at every start like a production server, and unsealed with its own key. */
export const openbao = defineServer({
  name: 'openbao',
  summary: 'Secrets',
  version: VERSION,
  ports: ['api', 'cluster'],
  async install(cache) {
    await program(cache)
  },
  async start(place, cache) {
    const settings = join(place.folder, 'server.json')
    await writeFile(settings, JSON.stringify(settingsOf(place)))
    await place.run({ name: 'openbao', command: await program(cache), args: ['server', `-config=${settings}`] })
  },
  async checkReady(place) {
    await initialize(place)
    await unseal(place)
    await configure(place)
  },
  env: (place) => ({ SOMA_VAULT_URL: urlOf(place), SOMA_VAULT_TOKEN: place.secret('token'), OPENBAO_KEYS: keysFile(place) }),
  readVersion: async (place) => Health.parse(await ask(place, 'GET', 'sys/health')).version,
})

function settingsOf(place: Place) {
  return {
    storage: {
      raft: {
        path: place.folder,
        node_id: 'soma',
        // A value of 1 MiB that JSON must escape is six times as long; the default takes 1 MiB in all.
        max_entry_size: String(8 * 1024 * 1024),
      },
    },
    listener: { tcp: { address: `127.0.0.1:${place.port('api')}`, tls_disable: true } },
    api_addr: urlOf(place),
    cluster_addr: `https://127.0.0.1:${place.port('cluster')}`,
    log_level: 'warn',
  }
}

function urlOf(place: Place): string {
  return `http://127.0.0.1:${place.port('api')}`
}

const Keys = z.object({ keys: z.tuple([z.string()]), root_token: z.string() })
const Health = z.object({ version: z.string() })
const SealStatus = z.object({ initialized: z.boolean(), sealed: z.boolean() })

function keysFile(place: Place): string {
  return join(place.folder, 'keys.json')
}

async function keysOf(place: Place): Promise<z.infer<typeof Keys>> {
  return Keys.parse(JSON.parse(await readFile(keysFile(place), 'utf8')))
}

async function initialize(place: Place): Promise<void> {
  const { initialized } = SealStatus.parse(await ask(place, 'GET', 'sys/seal-status'))
  if (initialized) return
  const keys = await ask(place, 'POST', 'sys/init', { secret_shares: 1, secret_threshold: 1 })
  await writeFile(keysFile(place), JSON.stringify(keys), { mode: 0o600 })
}

async function unseal(place: Place): Promise<void> {
  const { sealed } = SealStatus.parse(await ask(place, 'GET', 'sys/seal-status'))
  if (!sealed) return
  const { keys } = await keysOf(place)
  await ask(place, 'POST', 'sys/unseal', { key: keys[0] })
}

/** Mount, policy and token, as far as they are not there. */
async function configure(place: Place): Promise<void> {
  const { root_token: root } = await keysOf(place)
  const mounts = z.record(z.string(), z.unknown()).parse(await ask(place, 'GET', 'sys/mounts', undefined, root))
  if (!(`${MOUNT}/` in mounts)) await ask(place, 'POST', `sys/mounts/${MOUNT}`, { type: 'kv', options: { version: '2' } }, root)
  await ask(place, 'POST', 'sys/policies/acl/soma', { policy: POLICY }, root)
  const token = place.secret('token')
  const isKnown = await ask(place, 'GET', 'auth/token/lookup-self', undefined, token).then(
    () => true,
    () => false,
  )
  if (!isKnown) await ask(place, 'POST', 'auth/token/create', { id: token, policies: ['soma'], period: '768h' }, root)
  // Refused while the mount is being made ready for versions.
  await ask(place, 'GET', `${MOUNT}/metadata/soma/?list=true`, undefined, token)
}

async function ask(place: Place, method: string, path: string, body?: unknown, token?: string): Promise<unknown> {
  const response = await fetch(`${urlOf(place)}/v1/${path}`, {
    method,
    headers: token ? { 'x-vault-token': token } : {},
    body: body === undefined ? undefined : JSON.stringify(body),
    // Initializing takes ten seconds, and who gives up on it has no keys.
    signal: AbortSignal.timeout(60_000),
  })
  const text = await response.text()
  const isEmptyList = response.status === 404 && path.endsWith('?list=true')
  if (!response.ok && !isEmptyList) throw new Error(`OpenBao answered ${response.status} to ${method} ${path}: ${text.slice(0, 300)}`)
  return text === '' ? {} : JSON.parse(text)
}
