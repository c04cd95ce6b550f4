import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { findRunningServer, openDataDirectory } from './data-directory.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'soma-data-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

/** Another process, and something that answers /version in its name. */
async function otherServer(instance: string) {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1000)'])
  const http = createServer((_request, response) => response.end(JSON.stringify({ instance }))).listen(0, '127.0.0.1')
  await once(http, 'listening')
  return {
    pid: child.pid as number,
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    die: async () => {
      http.close()
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
const write = (path: string, server: { pid: number; url: string }, instance: string) =>
  writeFile(join(path, 'server.json'), JSON.stringify({ pid: server.pid, url: server.url, startedAt: new Date().toISOString(), instance }))

test('the folder is made for its owner alone', async () => {
  const { path, folder } = await openDataDirectory(join(root, 'deep', '.soma'))
  expect((await stat(path)).mode & 0o777).toBe(0o700)
  expect((await stat(await folder('objects'))).mode & 0o777).toBe(0o700)
})

test('the space that is left is said, and that it is too little with what to do', async () => {
  const { space } = await openDataDirectory(root)
  expect(await space(0)).toMatch(/^\d+ MB free$/)
  await expect(space(Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
    code: 'disk_full',
    message: expect.stringMatching(/^Only \d+ MB are left where the data folder is\. Free some space/),
  })
})

test('the server is announced, and withdrawn only by itself', async () => {
  const first = await openDataDirectory(root)
  await first.announce({ url: 'http://127.0.0.1:1', instance: 'one' })
  expect(JSON.parse(await readFile(join(root, 'server.json'), 'utf8'))).toMatchObject({
    pid: process.pid,
    url: 'http://127.0.0.1:1',
    instance: 'one',
  })
  const second = await openDataDirectory(root)
  await second.announce({ url: 'http://127.0.0.1:2', instance: 'two' })
  await first.withdraw()
  expect(JSON.parse(await readFile(join(root, 'server.json'), 'utf8'))).toMatchObject({ instance: 'two' })
  await second.withdraw()
  await expect(stat(join(root, 'server.json'))).rejects.toThrow('ENOENT')
})

test('a second server is told who is there; when that one died it may start', async () => {
  const other = await otherServer('there')
  await write(root, other, 'there')
  await expect(openDataDirectory(root)).rejects.toThrow(
    expect.objectContaining({ code: 'data_directory_in_use', details: { path: root, pid: other.pid, url: other.url } }),
  )
  expect(await findRunningServer(root)).toMatchObject({ url: other.url })
  await other.die()
  expect(await findRunningServer(root)).toBeUndefined()
  await openDataDirectory(root)
})

test('a process that merely got the number of a dead server is not taken for it', async () => {
  const other = await otherServer('somebody else')
  await write(root, other, 'the dead one')
  await openDataDirectory(root)
  await other.die()
})

test.each(['', '{', '[]', '{"pid":"x"}', '\u0000'])('a server.json that holds %j is as good as none', async (text) => {
  await writeFile(join(root, 'server.json'), text)
  expect(await findRunningServer(root)).toBeUndefined()
  await openDataDirectory(root)
})

test('a file in the folder’s place is refused with what to do', async () => {
  const path = join(root, 'file')
  await writeFile(path, '')
  for (const taken of [path, join(path, 'below')])
    await expect(openDataDirectory(taken)).rejects.toThrow(
      expect.objectContaining({ code: 'data_directory_corrupt', message: expect.stringContaining('SOMA_DATA') }),
    )
})
