import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { vectorsConformance } from './conformance.ts'
import { openLanceVectors } from './lancedb.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'soma-vectors-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

/** Writes ten records after the other until it is killed, and says how many were confirmed. */
const WRITER = `
  import { openLanceVectors } from '${new URL('lancedb.ts', import.meta.url)}'
  const vectors = await openLanceVectors({ directory: process.argv[1] })
  await vectors.ensureCollection('acme', 'notes', { dimensions: 4 })
  for (let from = 0; ; from += 10) {
    const records = Array.from({ length: 10 }, (_, at) => ({ id: String(from + at), vector: [1, from, at, 1], text: 'word number ' + (from + at), metadata: { from } }))
    await vectors.upsert('acme', 'notes', records)
    console.log(from + 10)
  }
`

vectorsConformance('lancedb', async () => {
  const root = await mkdtemp(join(tmpdir(), 'soma vectors ü %20 #'))
  const vectors = await openLanceVectors({ directory: root })
  return {
    ...vectors,
    close: async () => {
      await vectors.close()
      await rm(root, { recursive: true, force: true })
    },
  }
})

test('records are there after closing and opening again', async () => {
  const first = await openLanceVectors({ directory })
  await first.ensureCollection('acme', 'notes', { dimensions: 2 })
  await first.upsert('acme', 'notes', [{ id: 'a', vector: [1, 0], text: 'kept', metadata: { n: 1 } }])
  await first.close()
  const second = await openLanceVectors({ directory })
  expect(await second.search('acme', 'notes', { text: 'kept', filter: { n: 1 } })).toMatchObject([{ id: 'a' }])
  await second.close()
})

test('kill -9 at any instant loses nothing that was confirmed, and batches are whole', async () => {
  const writer = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', WRITER, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(writer, 'exit')
  let confirmed = 0
  for await (const line of createInterface({ input: writer.stdout })) {
    confirmed = Number(line)
    if (confirmed === 150) setTimeout(() => writer.kill('SIGKILL'), Math.random() * 40)
  }
  await exited
  const vectors = await openLanceVectors({ directory })
  const count = await vectors.count('acme', 'notes')
  expect(count).toBeGreaterThanOrEqual(confirmed)
  expect(count % 10).toBe(0)
  expect(await vectors.search('acme', 'notes', { text: 'word', limit: 1000 })).toHaveLength(Math.min(count, 1000))
  expect(await vectors.search('acme', 'notes', { text: `number ${confirmed - 1}`, limit: 1 })).toMatchObject([{ id: `${confirmed - 1}` }])
  await vectors.close()
})

test('a reader in another process sees what was written since it opened the collection', async () => {
  const [writer, reader] = await Promise.all([openLanceVectors({ directory }), openLanceVectors({ directory })])
  await writer.ensureCollection('acme', 'notes', { dimensions: 2 })
  expect(await reader.count('acme', 'notes')).toBe(0)
  await writer.upsert('acme', 'notes', [{ id: 'a', vector: [1, 0], text: 'new', metadata: {} }])
  expect(await reader.search('acme', 'notes', { vector: [1, 0] })).toHaveLength(1)
  await Promise.all([writer.close(), reader.close()])
})

test('a folder that is none is refused with what to do', async () => {
  const file = join(directory, 'file')
  await writeFile(file, '')
  await expect(openLanceVectors({ directory: file })).rejects.toMatchObject({
    code: 'data_directory_corrupt',
    message: expect.stringContaining('choose another data directory'),
  })
})
