import { execFileSync } from 'node:child_process'
import { chmod, lstat, mkdir, open, readdir, readFile, rename, rm, stat as statFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { contextFor, temporaryFolder } from '../frame/testing.ts'
import * as change from './change.ts'
import * as entries from './entries.ts'
import { read } from './read.ts'
import { search } from './search.ts'
import { write } from './write.ts'

type Run = { input: { parse(value: unknown): unknown }; run(input: never, context: ReturnType<typeof contextFor>): Promise<unknown> }
const call = (operation: Run, workspace: string, input: object) =>
  operation.run(operation.input.parse(input) as never, contextFor(workspace))
const readFrom = (workspace: string, path: string, more = {}) => read.run(read.input.parse({ path, ...more }), contextFor(workspace))
const writeTo = (workspace: string, path: string, content: string, more = {}) =>
  write.run(write.input.parse({ path, content, ...more }), contextFor(workspace))
const find = (
  operation: { idempotency: { kind: string; find?: unknown }; input: { parse(value: unknown): unknown } },
  workspace: string,
  input: object,
) =>
  (operation.idempotency.find as (input: unknown, context: object) => Promise<unknown>)(operation.input.parse(input), contextFor(workspace))

/** Every operation, aimed at one path. */
const everyOperation: [string, (workspace: string, path: string) => Promise<unknown>][] = [
  ['read', (workspace, path) => call(read, workspace, { path })],
  ['write', (workspace, path) => call(write, workspace, { path, content: 'x' })],
  ['list', (workspace, path) => call(entries.list, workspace, { path })],
  ['stat', (workspace, path) => call(entries.stat, workspace, { path })],
  ['search', (workspace, path) => call(search, workspace, { path, text: 'x' })],
  ['delete', (workspace, path) => call(change.remove, workspace, { path, recursive: true })],
  ['mkdir', (workspace, path) => call(change.mkdir, workspace, { path })],
  ['move from', (workspace, path) => call(change.move, workspace, { from: path, to: 'here' })],
  ['move to', (workspace, path) => call(change.move, workspace, { from: 'inside', to: path })],
  ['copy from', (workspace, path) => call(change.copy, workspace, { from: path, to: 'here' })],
  ['copy to', (workspace, path) => call(change.copy, workspace, { from: 'inside', to: path })],
]

async function besideSecret(): Promise<{ workspace: string; outside: string }> {
  const outside = await temporaryFolder()
  const workspace = join(outside, 'workspace')
  await mkdir(workspace)
  await mkdir(join(outside, 'folder'))
  await writeFile(join(outside, 'secret'), 'secret')
  await writeFile(join(workspace, 'inside'), 'inside')
  return { workspace, outside }
}

describe.each(everyOperation)('files.%s', (_, act) => {
  it.each(['../secret', 'a/../../secret', '/etc/passwd', 'C:\\secret', 'a\0b', '\\x2e\\x2e/secret', 'inside\\x2f..\\x2f..', '..'])(
    'does not go out by %j',
    async (path) => {
      const { workspace, outside } = await besideSecret()
      await expect(act(workspace, path)).rejects.toMatchObject({ code: 'path_escapes_workspace' })
      expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret')
    },
  )

  it('does not go out by a folder that is a symbolic link', async () => {
    const { workspace, outside } = await besideSecret()
    await symlink(outside, join(workspace, 'link'))
    await expect(act(workspace, 'link/secret')).rejects.toMatchObject({ code: 'path_escapes_workspace' })
    expect((await readdir(outside)).sort()).toEqual(['folder', 'secret', 'workspace'])
  })
})

it('a file that is a symbolic link out is neither read nor written through, nor deleted with what it leads to', async () => {
  const { workspace, outside } = await besideSecret()
  await symlink(join(outside, 'secret'), join(workspace, 'link'))
  await symlink(join(outside, 'folder'), join(workspace, 'way'))
  await expect(readFrom(workspace, 'link')).rejects.toMatchObject({ code: 'path_escapes_workspace' })
  await expect(call(change.copy, workspace, { from: 'link', to: 'copied' })).rejects.toMatchObject({ code: 'path_escapes_workspace' })
  await expect(call(entries.list, workspace, { path: 'way' })).rejects.toMatchObject({ code: 'path_escapes_workspace' })
  await writeTo(workspace, 'link', 'new')
  expect((await lstat(join(workspace, 'link'))).isFile()).toBe(true)
  await call(change.remove, workspace, { path: 'way', recursive: true })
  expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('secret')
  expect(await readdir(outside)).toContain('folder')
})

it('symbolic links inside the workspace are followed', async () => {
  const { workspace } = await besideSecret()
  await mkdir(join(workspace, 'real'))
  await symlink('real', join(workspace, 'link'))
  await writeTo(workspace, 'link/file', 'text')
  expect(await readFile(join(workspace, 'real/file'), 'utf8')).toBe('text')
  expect(await readFrom(workspace, 'link/file')).toMatchObject({ content: 'text' })
})

it('nothing is read from outside while somebody swaps a folder for a link as fast as they can', async () => {
  const { workspace, outside } = await besideSecret()
  await mkdir(join(workspace, 'flip'))
  await writeFile(join(workspace, 'flip/secret'), 'harmless')
  await symlink(outside, join(workspace, 'evil'))
  let swapping = true
  const swaps = (async () => {
    while (swapping) {
      await rename(join(workspace, 'flip'), join(workspace, 'aside'))
      await rename(join(workspace, 'evil'), join(workspace, 'flip'))
      await rename(join(workspace, 'flip'), join(workspace, 'evil'))
      await rename(join(workspace, 'aside'), join(workspace, 'flip'))
    }
  })()
  const seen = new Set<string>()
  for (let round = 0; round < 300; round++) {
    await readFrom(workspace, 'flip/secret').then(
      ({ content }) => seen.add(content),
      (error) => seen.add(error.code),
    )
    await writeTo(workspace, 'flip/written', 'x').catch(() => {})
  }
  swapping = false
  await swaps
  expect([...seen]).not.toContain('secret')
  expect(seen.size).toBeGreaterThan(1) // it did get in between
  expect(await readdir(outside)).not.toContain('written')
})

describe('files.write and files.read', () => {
  it('tells by a dry run what a write would give, and writes nothing', async () => {
    const workspace = await temporaryFolder()
    const dryRun = (more = {}) => write.dryRun?.(write.input.parse({ path: 'a.txt', content: 'text', ...more }), contextFor(workspace))
    const told = await dryRun()
    expect(await readdir(workspace)).toEqual([])
    expect(await writeTo(workspace, 'a.txt', 'text')).toEqual(told)
    await expect(dryRun({ overwrite: false })).rejects.toMatchObject({ code: 'conflict' })
    await expect(dryRun({ path: '../a.txt' })).rejects.toMatchObject({ code: 'path_escapes_workspace' })
    await expect(dryRun({ path: 'gone/a.txt' })).rejects.toMatchObject({ code: 'not_found' })
  })

  it('give back what was written, as text or as bytes', async () => {
    const workspace = await temporaryFolder()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        await writeTo(workspace, 'file', Buffer.from(bytes).toString('base64'), { encoding: 'base64' })
        const { content, encoding } = await readFrom(workspace, 'file')
        expect(Buffer.from(content, encoding)).toEqual(Buffer.from(bytes))
      }),
      { numRuns: 30 },
    )
    await writeTo(workspace, 'empty', '')
    expect(await readFrom(workspace, 'empty')).toEqual({ path: 'empty', size: 0, content: '', encoding: 'utf8', truncated: false })
  })

  it('read a file of 200 MB in parts, without holding it', async () => {
    const workspace = await temporaryFolder()
    const file = await open(join(workspace, 'big'), 'w')
    await file.truncate(200 * 1024 * 1024)
    await file.write('end', 200 * 1024 * 1024 - 3)
    await file.close()
    expect(await readFrom(workspace, 'big', { offset: 200 * 1024 * 1024 - 3 })).toMatchObject({ content: 'end', truncated: false })
    expect(await readFrom(workspace, 'big', { maxBytes: 4 })).toMatchObject({
      size: 200 * 1024 * 1024,
      truncated: true,
      content: 'AAAAAA==',
    })
    expect(await readFrom(workspace, 'big', { offset: 1e12 })).toMatchObject({ content: '', truncated: false })
  })

  it('a write that was done is found by its content, one that was not is not', async () => {
    const workspace = await temporaryFolder()
    expect(await find(write, workspace, { path: 'a', content: 'x' })).toBeUndefined()
    await mkdir(join(workspace, 'folder'))
    await symlink('nowhere', join(workspace, 'link'))
    expect(await find(write, workspace, { path: 'folder', content: 'x' })).toBeUndefined()
    expect(await find(write, workspace, { path: 'link', content: 'x' })).toBeUndefined()
    const written = await writeTo(workspace, 'a', 'x')
    expect(await find(write, workspace, { path: 'a', content: 'x' })).toEqual(written)
    expect(await find(write, workspace, { path: 'a', content: 'y' })).toBeUndefined()
  })

  it('a write replaces a file whole, keeps its permissions, and leaves nothing behind when it is refused', async () => {
    const workspace = await temporaryFolder()
    await writeTo(workspace, 'run', 'old')
    await chmod(join(workspace, 'run'), 0o750)
    await writeTo(workspace, 'run', 'new')
    expect((await statFile(join(workspace, 'run'))).mode & 0o777).toBe(0o750)
    await expect(writeTo(workspace, 'run', 'other', { overwrite: false })).rejects.toMatchObject({ code: 'conflict' })
    await mkdir(join(workspace, 'folder'))
    await expect(writeTo(workspace, 'folder', 'x')).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(writeTo(workspace, 'no/such', 'x')).rejects.toMatchObject({ code: 'not_found' })
    await expect(writeTo(workspace, 'run/below', 'x')).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(writeTo(workspace, 'n'.repeat(300), 'x')).rejects.toMatchObject({ code: 'invalid_input' })
    expect((await readdir(workspace)).sort()).toEqual(['folder', 'run'])
    expect(await readFile(join(workspace, 'run'), 'utf8')).toBe('new')
  })

  it('a pipe or a folder is not read, and nothing waits for it', async () => {
    const workspace = await temporaryFolder()
    execFileSync('mkfifo', [join(workspace, 'pipe')])
    await expect(readFrom(workspace, 'pipe')).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(readFrom(workspace, '.')).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(readFrom(workspace, 'nothing')).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('files.list, files.stat and files.search', () => {
  it('name everything, by name, by page, and do not follow links', async () => {
    const workspace = await temporaryFolder()
    await mkdir(join(workspace, 'b/c'), { recursive: true })
    await writeFile(join(workspace, 'b/c/d'), 'four')
    await writeFile(join(workspace, 'a'), '')
    await symlink('.', join(workspace, 'loop'))
    const all = await entries.list.run(entries.list.input.parse({ recursive: true }), contextFor(workspace))
    expect(all.entries.map(({ path, kind, size }) => [path, kind, size])).toEqual([
      ['a', 'file', 0],
      ['b', 'folder', 0],
      ['b/c', 'folder', 0],
      ['b/c/d', 'file', 4],
      ['loop', 'symlink', 1],
    ])
    const page = await entries.list.run(entries.list.input.parse({ recursive: true, limit: 2, after: 'b' }), contextFor(workspace))
    expect(page).toMatchObject({ entries: [{ path: 'b/c' }, { path: 'b/c/d' }], more: true })
    expect(await call(entries.list, workspace, { path: 'b' })).toMatchObject({ entries: [{ path: 'b/c' }], more: false })
  })

  it('names that are not UTF-8 can be listed, read, written and deleted', async () => {
    const workspace = await temporaryFolder()
    await mkdir(Buffer.concat([Buffer.from(`${workspace}/`), Buffer.from([0xff])]))
    await writeTo(workspace, '\\xff/caf\\xe9', 'x')
    expect(await call(entries.list, workspace, { recursive: true })).toMatchObject({
      entries: [{ path: '\\xff' }, { path: '\\xff/caf\\xe9' }],
    })
    expect(await readFrom(workspace, '\\xff/caf\\xe9')).toMatchObject({ content: 'x' })
    await call(change.remove, workspace, { path: '\\xff', recursive: true })
    expect(await readdir(workspace)).toEqual([])
  })

  it('tell what is at a path, also that nothing is', async () => {
    const workspace = await temporaryFolder()
    await writeFile(join(workspace, 'a'), 'abc')
    await symlink('a', join(workspace, 'link'))
    expect(await call(entries.stat, workspace, { path: 'a' })).toMatchObject({
      exists: true,
      kind: 'file',
      size: 3,
      digest: 'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    })
    expect(await call(entries.stat, workspace, { path: 'link' })).toMatchObject({ kind: 'symlink', leadsTo: 'a' })
    expect(await call(entries.stat, workspace, { path: 'b/c' })).toEqual({ exists: false })
  })

  it('find text where it is, and pass over what is binary', async () => {
    const workspace = await temporaryFolder()
    await mkdir(join(workspace, 'src'))
    await writeFile(join(workspace, 'src/a.ts'), 'one\r\nfind (Me) here\n')
    await writeFile(join(workspace, 'b.md'), 'FIND (me)')
    await writeFile(join(workspace, 'c.bin'), Buffer.from([0, 1, 2]))
    expect(await call(search, workspace, { text: '(Me)' })).toEqual({
      matches: [{ path: 'src/a.ts', line: 2, column: 6, text: 'find (Me) here' }],
      more: false,
      searched: 2,
      skipped: 1,
    })
    expect(await call(search, workspace, { text: 'find (me)', ignoreCase: true, limit: 1 })).toMatchObject({
      matches: [{ path: 'b.md' }],
      more: true,
    })
    expect(await call(search, workspace, { text: 'find', extensions: ['.ts'] })).toMatchObject({ searched: 1 })
  })
})

describe('files.move, files.copy, files.delete and files.mkdir', () => {
  it('move and copy never replace what is there', async () => {
    const workspace = await temporaryFolder()
    await writeFile(join(workspace, 'a'), 'a')
    await writeFile(join(workspace, 'b'), 'b')
    await mkdir(join(workspace, 'folder'))
    await mkdir(join(workspace, 'empty'))
    for (const operation of [change.move, change.copy]) {
      await expect(call(operation, workspace, { from: 'a', to: 'b' })).rejects.toMatchObject({ code: 'conflict' })
      await expect(call(operation, workspace, { from: 'nothing', to: 'c' })).rejects.toMatchObject({ code: 'not_found' })
    }
    await expect(call(change.move, workspace, { from: 'folder', to: 'empty' })).rejects.toMatchObject({ code: 'conflict' })
    await call(change.copy, workspace, { from: 'a', to: 'folder/a' })
    await call(change.move, workspace, { from: 'folder', to: 'moved' })
    await call(change.move, workspace, { from: 'a', to: 'c' })
    expect((await readdir(workspace)).sort()).toEqual(['b', 'c', 'empty', 'moved'])
    expect(await readFile(join(workspace, 'moved/a'), 'utf8')).toBe('a')
  })

  it('are found when done, and not before', async () => {
    const workspace = await temporaryFolder()
    await writeFile(join(workspace, 'a'), 'a')
    const done: [Parameters<typeof find>[0] & Run, object, object][] = [
      [change.copy, { from: 'a', to: 'b' }, { path: 'b' }],
      [change.move, { from: 'b', to: 'c' }, { path: 'c' }],
      [change.mkdir, { path: 'x/y' }, { path: 'x/y' }],
      [change.remove, { path: 'c' }, { path: 'c' }],
    ]
    for (const [operation, input, output] of done) {
      expect(await find(operation, workspace, input)).toBeUndefined()
      expect(await call(operation, workspace, input)).toEqual(output)
      expect(await find(operation, workspace, input)).toEqual(output)
    }
  })

  it('a folder is deleted with what is in it only when that is asked for, and the workspace never', async () => {
    const workspace = await temporaryFolder()
    await call(change.mkdir, workspace, { path: 'a/b' })
    await call(change.mkdir, workspace, { path: 'a/b' })
    await expect(call(change.remove, workspace, { path: 'a' })).rejects.toMatchObject({ code: 'conflict' })
    await expect(call(change.remove, workspace, { path: '.', recursive: true })).rejects.toMatchObject({ code: 'invalid_input' })
    await call(change.remove, workspace, { path: 'a', recursive: true })
    expect(await readdir(workspace)).toEqual([])
    await writeFile(join(workspace, 'file'), '')
    await expect(call(change.mkdir, workspace, { path: 'file/x' })).rejects.toMatchObject({ code: 'conflict' })
    await rm(join(workspace, 'file'))
  })
})

it('a copy of a large file is the same to the last byte', async () => {
  const workspace = await temporaryFolder()
  const content = Buffer.from(Array.from({ length: 700_001 }, (_, index) => index % 251))
  await writeFile(join(workspace, 'a'), content)
  await call(change.copy, workspace, { from: 'a', to: 'b' })
  expect((await readFile(join(workspace, 'b'))).equals(content)).toBe(true)
})
