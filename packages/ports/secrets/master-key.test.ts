import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadMasterKey } from './master-key.ts'

describe('the master key', () => {
  let directory: string
  let path: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'master-key-'))
    path = join(directory, 'master.key')
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  test('is made at first start, for its owner alone, and is the same ever after', async () => {
    const data = join(directory, 'not', 'there yet')
    const key = await loadMasterKey(data, {})
    expect(key).toHaveLength(32)
    expect((await stat(join(data, 'master.key'))).mode & 0o777).toBe(0o600)
    expect(await readdir(data)).toEqual(['master.key'])
    expect(await loadMasterKey(data, {})).toEqual(key)
  })

  test('is one and the same for processes that start together', async () => {
    const keys = await Promise.all(Array.from({ length: 12 }, () => loadMasterKey(directory, {})))
    expect(new Set(keys.map(String)).size).toBe(1)
    expect(await readdir(directory)).toEqual(['master.key'])
  })

  test('comes from SOMA_MASTER_KEY when that is set, and no file is made', async () => {
    const key = randomBytes(32)
    expect(await loadMasterKey(directory, { SOMA_MASTER_KEY: key.toString('base64') })).toEqual(key)
    expect(await loadMasterKey(directory, { SOMA_MASTER_KEY: ` ${key.toString('base64').replaceAll('=', '')}\n` })).toEqual(key)
    expect(await readdir(directory)).toEqual([])
  })

  test('can move from the file into the variable as it is', async () => {
    const key = await loadMasterKey(directory, {})
    expect(await loadMasterKey('/nowhere', { SOMA_MASTER_KEY: await readFile(path, 'utf8') })).toEqual(key)
  })

  test.each([
    ['an empty variable', ''],
    ['a short key', randomBytes(31).toString('base64')],
    ['a long key', randomBytes(33).toString('base64')],
    ['hexadecimal', randomBytes(32).toString('hex')],
    ['what is no base64 but decodes to 32 bytes', `${'A'.repeat(20)}!${'A'.repeat(23)}=`],
  ])('refuses %s in SOMA_MASTER_KEY, and does not say it', async (_, text) => {
    const error: Error = await loadMasterKey(directory, { SOMA_MASTER_KEY: text }).then(
      () => expect.unreachable(),
      (thrown) => thrown,
    )
    expect(error).toMatchObject({ code: 'invalid_input', message: expect.stringContaining('openssl rand -base64 32') })
    if (text) expect(error.message).not.toContain(text)
  })

  test.each([
    ['an empty file', ''],
    ['a short key', randomBytes(31).toString('base64')],
    ['raw bytes', randomBytes(32)],
    ['a huge file', 'A'.repeat(5_000_000)],
  ])('refuses %s as master.key', async (_, content) => {
    await writeFile(path, content, { mode: 0o600 })
    await expect(loadMasterKey(directory, {})).rejects.toMatchObject({
      code: 'data_directory_corrupt',
      message: expect.stringContaining(path),
    })
    expect((await readFile(path)).equals(Buffer.from(content)), 'the file was left as it is').toBe(true)
  })

  test.each(['644', '640', '620', '604'])('refuses a file that others may open (mode %s)', async (mode) => {
    await loadMasterKey(directory, {})
    await chmod(path, Number.parseInt(mode, 8))
    await expect(loadMasterKey(directory, {})).rejects.toMatchObject({
      code: 'data_directory_corrupt',
      message: expect.stringMatching(new RegExp(`mode ${mode}.*chmod 600 ${path}`)),
    })
  })

  test('refuses a folder, and a data directory that is a file', async () => {
    await mkdir(path)
    await expect(loadMasterKey(directory, {})).rejects.toMatchObject({ code: 'data_directory_corrupt' })
    const file = join(directory, 'file')
    await writeFile(file, '')
    await expect(loadMasterKey(file, {})).rejects.toMatchObject({ code: 'data_directory_corrupt' })
  })
})
