import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { SomaError } from '@soma/contracts/errors'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { objectsConformance } from './conformance.ts'
import { explainWriteFailure, openFileSystemObjects } from './file-system.ts'
import { MAX_OBJECT_BYTES } from './port.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'soma-objects-'))
})
afterEach(() => rm(directory, { recursive: true, force: true }))

const pathOf = (root: string, tenant: string, digest: string) => join(root, tenant, digest.slice(7, 9), digest.slice(7))

const SIZE = 32 * 1024 * 1024
/** Puts one large object after the other until it is killed, and says what was confirmed. */
const WRITER = `
  import { openFileSystemObjects } from '${new URL('file-system.ts', import.meta.url)}'
  const objects = await openFileSystemObjects({ directory: process.argv[1] })
  const content = Buffer.alloc(${SIZE})
  for (let number = process.pid * 1000; ; number++) {
    content.writeDoubleBE(number)
    console.log((await objects.put('acme', content, 'application/x-test')).digest)
  }
`

objectsConformance('file system', async () => {
  const root = await mkdtemp(join(tmpdir(), 'soma-objects-'))
  const objects = await openFileSystemObjects({ directory: root })
  return {
    ...objects,
    corrupt: (tenant, digest) => writeFile(pathOf(root, tenant, digest), 'changed'),
    close: async () => {
      await objects.close()
      await rm(root, { recursive: true, force: true })
    },
  }
})

test('kill -9 in the middle of a write leaves no half object, and what was confirmed is there', async () => {
  for (const delay of [0, 15]) {
    const writer = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', WRITER, directory], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const exited = once(writer, 'exit')
    const confirmed: string[] = []
    const watcher = watch(directory, { recursive: true })
    for await (const digest of createInterface({ input: writer.stdout })) {
      confirmed.push(digest)
      if (confirmed.length === 1) watcher.once('change', () => setTimeout(() => writer.kill('SIGKILL'), delay))
    }
    await exited
    watcher.close()
    const objects = await openFileSystemObjects({ directory })
    const stored = await objects.list('acme', { limit: 1000 })
    for (const { digest, mediaType } of stored) {
      expect(await objects.get('acme', digest)).toHaveLength(SIZE)
      expect(mediaType).toBe('application/x-test')
    }
    expect(stored.map((reference) => reference.digest)).toEqual(expect.arrayContaining(confirmed))
  }
})

test('a write that was killed is swept away when it is old, and left alone when another process may still be at it', async () => {
  await openFileSystemObjects({ directory })
  const incoming = join(directory, '.incoming')
  await writeFile(join(incoming, 'abandoned'), 'half')
  await writeFile(join(incoming, 'under-way'), 'half')
  const yesterday = Date.now() / 1000 - 86_400
  await utimes(join(incoming, 'abandoned'), yesterday, yesterday)
  await openFileSystemObjects({ directory })
  expect(await readdir(incoming)).toEqual(['under-way'])
})

test('a stored file is exactly the content', async () => {
  const objects = await openFileSystemObjects({ directory })
  const { digest } = await objects.put('acme', Buffer.from('evidence'), 'text/plain')
  expect(await readFile(pathOf(directory, 'acme', digest), 'utf8')).toBe('evidence')
  expect(await readdir(join(directory, '.incoming'))).toEqual([])
})

test('two stores on one folder see the same objects', async () => {
  const [one, two] = await Promise.all([openFileSystemObjects({ directory }), openFileSystemObjects({ directory })])
  const { digest } = await one.put('acme', Buffer.from('shared'), 'text/plain')
  expect(await two.get('acme', digest)).toEqual(Buffer.from('shared'))
})

test('a full disk is said to be one', async () => {
  const failure = await writeFile('/dev/full', 'x').catch((error: unknown) => error)
  const explained = explainWriteFailure(failure, directory)
  expect(explained).toMatchObject({ code: 'disk_full', message: expect.stringContaining(directory) })
  const other = new Error('something else')
  expect(explainWriteFailure(other, directory)).toBe(other)
})

test('a folder that is none is refused with what to do', async () => {
  const file = join(directory, 'file')
  await writeFile(file, '')
  const refusal = await openFileSystemObjects({ directory: file }).catch((error: unknown) => error)
  expect(SomaError.is(refusal, 'data_directory_corrupt')).toBe(true)
  expect((refusal as SomaError).message).toContain('choose another data directory')
})

test('content that could not be read back in one piece is refused', async () => {
  const objects = await openFileSystemObjects({ directory })
  const content = new Uint8Array(MAX_OBJECT_BYTES + 1)
  await expect(objects.put('acme', content, 'text/plain')).rejects.toMatchObject({ code: 'invalid_input' })
})
