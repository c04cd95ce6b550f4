import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Login } from './login.ts'
import { openLogins } from './logins.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'soma-logins-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const SERVER = 'http://127.0.0.1:8000'
const login = (more: Partial<Login> = {}): Login => ({
  issuer: 'https://id.example',
  clientId: 'soma',
  accessToken: 'a.b.c',
  expiresAt: Date.now() + 60_000,
  ...more,
})
const open = () => openLogins({ XDG_CONFIG_HOME: folder })

test('a sign-in is kept for its server alone, in a file for its owner alone', async () => {
  await open().save(`${SERVER}/`, login())
  expect(await open().find(SERVER)).toMatchObject({ accessToken: 'a.b.c' })
  expect(await open().find('http://127.0.0.1:8001')).toBeUndefined()
  expect(await open().accessToken(SERVER)).toBe('a.b.c')
  expect((await stat(join(folder, 'soma/logins.json'))).mode & 0o077).toBe(0)
})

test('several programs that write at once lose nothing', async () => {
  const servers = Array.from({ length: 10 }, (_, at) => `https://soma-${at}.example`)
  await Promise.all(servers.map((server) => open().save(server, login({ accessToken: server }))))
  const kept = JSON.parse(await readFile(join(folder, 'soma/logins.json'), 'utf8'))
  expect(Object.keys(kept)).toEqual(expect.arrayContaining([SERVER, ...servers]))
})

test('one that has ended and can not be renewed says to sign in again, as often as it is asked', async () => {
  const server = 'https://ended.example'
  await open().save(server, login({ expiresAt: Date.now() - 1 }))
  const signInAgain = expect.objectContaining({ code: 'unauthenticated', message: expect.stringContaining('soma login') })
  await expect(open().accessToken(server)).rejects.toThrow(signInAgain)
  await expect(open().accessToken(server)).rejects.toThrow(signInAgain)
})

test('a damaged file is named, with what to do', async () => {
  const damaged = await mkdtemp(join(folder, 'damaged-'))
  await mkdir(join(damaged, 'soma'))
  await writeFile(join(damaged, 'soma/logins.json'), '{"a":')
  await expect(openLogins({ XDG_CONFIG_HOME: damaged }).find(SERVER)).rejects.toThrow(/logins\.json can not be read\. Delete it/)
})

test('removing gives what there was, once', async () => {
  expect(await open().remove(SERVER)).toMatchObject({ accessToken: 'a.b.c' })
  expect(await open().remove(SERVER)).toBeUndefined()
})
