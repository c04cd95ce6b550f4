import { installGo } from '../install/go.ts'
import { defineServer } from '../server.ts'

const PROGRAM = 'github.com/Shopify/toxiproxy/v2/cmd/server'
const VERSION = 'v2.5.0'

/** Stands between the platform and a server and makes it slow, silent or rude: for the tests of what happens then. */
export const toxiproxy = defineServer({
  name: 'toxiproxy',
  summary: 'Makes servers fail, for tests',
  version: VERSION,
  ports: ['api'],
  async install(cache) {
    await installGo(cache, PROGRAM, VERSION, 'toxiproxy')
  },
  async start(place, cache) {
    const command = await installGo(cache, PROGRAM, VERSION, 'toxiproxy')
    await place.run({ name: 'toxiproxy', command, args: ['-host', '127.0.0.1', '-port', String(place.port('api'))] })
  },
  async checkReady(place) {
    await ask(place.port('api'))
  },
  env: (place) => ({ TOXIPROXY_URL: `http://127.0.0.1:${place.port('api')}` }),
  // Built from source it says "git"; the module's version is the one that was built.
  readVersion: async (place) => ask(place.port('api')).then((said) => (/\d/.test(said) ? said : VERSION.slice(1))),
})

async function ask(port: number): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${port}/version`, { signal: AbortSignal.timeout(2000) })
  if (!answer.ok) throw new Error(`toxiproxy answers ${answer.status}`)
  return answer.text()
}
