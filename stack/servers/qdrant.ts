import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installPython, pythonOf } from '../install/python.ts'
import { defineServer, type Place } from '../server.ts'

const PROGRAM = fileURLToPath(new URL('qdrant/main.py', import.meta.url))
const REQUIREMENTS = fileURLToPath(new URL('qdrant/requirements.txt', import.meta.url))

/** Qdrant's engine behind a door of ours: see `qdrant/main.py` for what is the vendor's and what is not. */
export const qdrant = defineServer({
  name: 'qdrant',
  summary: 'Vectors, by REST',
  // Of the PyPI package that carries the engine.
  version: 'qdrant-edge-py 0.9.0',
  ports: ['http'],
  async install(cache) {
    await installPython(cache, 'qdrant', REQUIREMENTS)
  },
  async start(place, cache) {
    await place.run({
      name: 'qdrant',
      command: await pythonOf(cache, 'qdrant', REQUIREMENTS),
      // Leaves no compiled files in the checkout.
      args: ['-B', PROGRAM, join(place.folder, 'collections'), String(place.port('http'))],
      env: { QDRANT_API_KEY: place.secret('key') },
    })
  },
  async checkReady(place) {
    await ask(place, '/readyz')
  },
  env: (place) => ({ SOMA_QDRANT_URL: urlOf(place), SOMA_QDRANT_API_KEY: place.secret('key') }),
  async readVersion(place) {
    const { version } = (await (await ask(place, '/')).json()) as { version: string }
    return version
  },
})

async function ask(place: Place, path: string): Promise<Response> {
  const answer = await fetch(`${urlOf(place)}${path}`, {
    headers: { 'api-key': place.secret('key') },
    signal: AbortSignal.timeout(2000),
  })
  if (!answer.ok) throw new Error(`qdrant answers ${answer.status}`)
  return answer
}

function urlOf(place: Place): string {
  return `http://127.0.0.1:${place.port('http')}`
}
