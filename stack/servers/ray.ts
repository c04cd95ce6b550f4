import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPython, pythonOf } from '../install/python.ts'
import { defineServer, type Place } from '../server.ts'

const VERSION = '2.60.0'
const APPLICATION = fileURLToPath(new URL('ray', import.meta.url))
const REQUIREMENTS = join(APPLICATION, 'requirements.txt')

/** Models that packages carry, served by Ray Serve under OpenAI's API: SmolLM2-135M-Instruct for chat, all-MiniLM-L6-v2 for embeddings. */
export const ray = defineServer({
  name: 'ray',
  summary: 'Chat and embeddings',
  version: VERSION,
  ports: ['server', 'autoscaler', 'dashboard'],
  async install(cache) {
    await installPython(cache, 'ray', REQUIREMENTS)
  },
  async start(place, cache) {
    // Sockets lie in the folder of Ray's sessions, and their paths may have no more than 107 bytes: so not below the stack's folder.
    const sessions = join(tmpdir(), `soma-ray-${place.port('server')}`)
    await place.run({
      name: 'ray',
      command: await pythonOf(cache, 'ray', REQUIREMENTS),
      args: ['-u', join(APPLICATION, 'main.py'), '--port', String(place.port('server')), '--sessions', sessions],
      env: {
        MODELS_API_KEY: place.secret('api-key'),
        PYTHONDONTWRITEBYTECODE: '1',
        // What Ray's own processes show each other. Without it Ray keeps one in the home folder.
        RAY_AUTH_MODE: 'token',
        RAY_AUTH_TOKEN: place.secret('ray-token'),
        // Ray's own figures have fixed ports otherwise, which another Ray may hold.
        AUTOSCALER_METRIC_PORT: String(place.port('autoscaler')),
        DASHBOARD_METRIC_PORT: String(place.port('dashboard')),
      },
    })
  },
  async checkReady(place) {
    await ask(place, '/v1/models')
  },
  env: (place) => ({
    SOMA_MODELS_URL: `${urlOf(place)}/v1`,
    SOMA_MODELS_API_KEY: place.secret('api-key'),
    SOMA_MODELS_CHAT_MODEL: 'smollm2-135m-instruct',
    SOMA_MODELS_EMBEDDING_MODEL: 'all-minilm-l6-v2',
  }),
  readVersion: async (place) => ((await ask(place, '/version')) as { version: string }).version,
})

function urlOf(place: Place): string {
  return `http://127.0.0.1:${place.port('server')}`
}

async function ask(place: Place, path: string): Promise<unknown> {
  const headers = { authorization: `Bearer ${place.secret('api-key')}` }
  const answer = await fetch(`${urlOf(place)}${path}`, { headers, signal: AbortSignal.timeout(5000) })
  if (!answer.ok) throw new Error(`${path} answers ${answer.status}: ${await answer.text()}`)
  return answer.json()
}
