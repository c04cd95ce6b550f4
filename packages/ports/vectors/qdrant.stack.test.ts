import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fromStack } from '../testing.ts'
import { vectorsConformance } from './conformance.ts'
import type { Vectors } from './port.ts'
import { openQdrantVectors } from './qdrant.ts'

const run = `promises-${randomBytes(6).toString('hex')}`
const open = (prefix: string, apiKey = fromStack('SOMA_QDRANT_API_KEY')) =>
  openQdrantVectors({ url: fromStack('SOMA_QDRANT_URL'), apiKey, prefix })

let vectors: Vectors
beforeAll(async () => {
  vectors = await open(run)
})
afterAll(async () => {
  const headers = { 'api-key': fromStack('SOMA_QDRANT_API_KEY') }
  const address = `${fromStack('SOMA_QDRANT_URL')}/collections`
  const { result } = (await (await fetch(address, { headers })).json()) as { result: { collections: { name: string }[] } }
  for (const { name } of result.collections)
    if (name.startsWith(run)) expect((await fetch(`${address}/${name}`, { method: 'DELETE', headers })).status).toBe(200)
})

vectorsConformance('qdrant', () => open(run))

test('a collection that another process made anew with another size is used with that size', async () => {
  const other = await open(run)
  await vectors.ensureCollection('acme', 'remade', { dimensions: 2 })
  await vectors.upsert('acme', 'remade', [{ id: 'a', vector: [1, 0], text: '', metadata: {} }])
  await other.dropCollection('acme', 'remade')
  await expect(vectors.search('acme', 'remade', { vector: [1, 0] })).rejects.toMatchObject({ code: 'not_found' })
  await other.ensureCollection('acme', 'remade', { dimensions: 3 })
  await vectors.upsert('acme', 'remade', [{ id: 'a', vector: [1, 0, 0], text: '', metadata: {} }])
  expect(await other.search('acme', 'remade', { vector: [1, 0, 0] })).toHaveLength(1)
  await other.ensureCollection('acme', 'smaller', { dimensions: 3 })
  await vectors.count('acme', 'smaller')
  await expect(vectors.search('acme', 'smaller', { vector: [1, 0] })).rejects.toMatchObject({ code: 'invalid_input' })
})

test('a batch too large for one request is stored whole', async () => {
  const dimensions = 8192
  await vectors.ensureCollection('acme', 'large', { dimensions })
  const records = Array.from({ length: 130 }, (_, at) => ({
    id: `${at}`,
    vector: Array.from({ length: dimensions }, (_, place) => (place === at ? 1 : 0.001)),
    text: `word ${at}`,
    metadata: { at },
  }))
  await vectors.upsert('acme', 'large', records)
  expect(await vectors.count('acme', 'large')).toBe(130)
  expect(await vectors.search('acme', 'large', { vector: records[129]?.vector, limit: 1 })).toMatchObject([{ id: '129' }])
})

test('platforms with different prefixes share a server and see nothing of each other', async () => {
  const other = await open(`${run}-other`)
  await vectors.ensureCollection('shared', 'notes', { dimensions: 2 })
  expect(await other.listCollections('shared')).toEqual([])
  await expect(other.count('shared', 'notes')).rejects.toMatchObject({ code: 'not_found' })
})

test('text that is no Unicode is kept as far as it is', async () => {
  await vectors.ensureCollection('acme', 'broken', { dimensions: 2 })
  await vectors.upsert('acme', 'broken', [{ id: 'a', vector: [1, 0], text: 'half \ud83e a fox', metadata: { half: '\ud83e' } }])
  const [hit] = await vectors.search('acme', 'broken', { text: 'fox', filter: { half: '\ud83e' } })
  expect(hit).toMatchObject({ text: 'half \ufffd a fox', metadata: { half: '\ud83e' } })
})

test('a wrong key is said to be one, without the key', async () => {
  const stranger = await open(run, 'not-the-key')
  const refusal = await stranger.version().catch((error: unknown) => error)
  expect(refusal).toMatchObject({ code: 'dependency_unavailable', message: expect.stringContaining('SOMA_QDRANT_API_KEY') })
  expect(JSON.stringify(refusal)).not.toContain('not-the-key')
})
