import { copyFile, mkdir, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import type { Cache } from '../cache.ts'
import { installMavenArchive } from '../install/maven-archive.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = '26.7.3'
const NAME = `keycloak-${VERSION}`
const REALM_FILE = fileURLToPath(new URL('../../deploy/keycloak/realm.json', import.meta.url))
/** What the server is made for when it is built; the same words at the start would build it again. */
const BUILD = ['--db=dev-file', '--cache=local', '--health-enabled=true']
/** Small, and without the optimising compiler, which pays off only after minutes. */
const JAVA = { JAVA_OPTS_KC_HEAP: '-Xms64m -Xmx384m', JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1' }

const program = (cache: Cache) => cache.path(`maven/${NAME}`, NAME, 'bin/kc.sh')
const urlOf = (place: Place) => `http://127.0.0.1:${place.port('server')}`

/** Keycloak with the realm of `deploy/keycloak`. */
export const keycloak = defineServer({
  name: 'keycloak',
  summary: 'Who signs in, with OpenID Connect',
  version: VERSION,
  ports: ['server', 'management'],
  async install(cache) {
    await installMavenArchive(cache, NAME, `org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`, async (folder) => {
      await cache.run(join(folder, NAME, 'bin/kc.sh'), ['build', ...BUILD], { env: JAVA })
    })
  },
  async start(place, cache) {
    const home = await makeHome(place, cache)
    await place.run({
      name: 'keycloak',
      command: program(cache),
      args: [
        'start',
        '--optimized',
        `-Dkc.home.dir=${home}`,
        '--import-realm',
        '--http-enabled=true',
        '--http-host=127.0.0.1',
        `--http-port=${place.port('server')}`,
        `--hostname=${urlOf(place)}`,
        // It would tell of every question whether it is ready.
        '--log-level=info,io.smallrye.health:warn',
        '--http-management-host=127.0.0.1',
        `--http-management-port=${place.port('management')}`,
      ],
      env: {
        ...JAVA,
        KC_BOOTSTRAP_ADMIN_USERNAME: 'admin',
        KC_BOOTSTRAP_ADMIN_PASSWORD: place.secret('admin-password'),
        SOMA_SERVICE_CLIENT_SECRET: place.secret('client-secret'),
      },
    })
  },
  async checkReady(place) {
    const health = await fetch(`http://127.0.0.1:${place.port('management')}/health/ready`, { signal: AbortSignal.timeout(2000) })
    if (!health.ok) throw new Error(`Keycloak's health is ${health.status}.`)
    const realm = await fetch(`${urlOf(place)}/realms/soma/.well-known/openid-configuration`, { signal: AbortSignal.timeout(2000) })
    if (!realm.ok) throw new Error(`The realm answers with status ${realm.status}.`)
  },
  env: (place) => ({
    SOMA_AUTH_ISSUER: `${urlOf(place)}/realms/soma`,
    SOMA_AUTH_AUDIENCE: 'soma-api',
    SOMA_AUTH_CLIENT_ID: 'soma',
    SOMA_AUTH_MFA_ACR: 'mfa',
    KEYCLOAK_URL: urlOf(place),
    KEYCLOAK_ADMIN: 'admin',
    KEYCLOAK_ADMIN_PASSWORD: place.secret('admin-password'),
    KEYCLOAK_CLIENT_SECRET: place.secret('client-secret'),
  }),
  readVersion: async (place) => {
    const answer = await fetch(`${urlOf(place)}/admin/serverinfo`, { headers: { authorization: `Bearer ${await adminToken(place)}` } })
    return ServerInfo.parse(await answer.json()).systemInfo.version
  },
})

const ServerInfo = z.object({ systemInfo: z.object({ version: z.string() }) })
const TokenAnswer = z.object({ access_token: z.string() })

/** A home of the place's own: the program in the cache is shared, what it writes and imports is not. */
async function makeHome(place: Place, cache: Cache): Promise<string> {
  const home = join(place.folder, 'home')
  const imports = join(home, 'data/import')
  for (const folder of [imports, join(home, 'providers'), join(home, 'conf')]) await mkdir(folder, { recursive: true })
  await rm(join(home, 'lib'), { force: true })
  await symlink(cache.path(`maven/${NAME}`, NAME, 'lib'), join(home, 'lib'))
  await copyFile(REALM_FILE, join(imports, 'soma-realm.json'))
  return home
}

async function adminToken(place: Place): Promise<string> {
  const answer = await fetch(`${urlOf(place)}/realms/master/protocol/openid-connect/token`, {
    method: 'POST',
    body: new URLSearchParams({
      grant_type: 'password',
      client_id: 'admin-cli',
      username: 'admin',
      password: place.secret('admin-password'),
    }),
  })
  return TokenAnswer.parse(await answer.json()).access_token
}
