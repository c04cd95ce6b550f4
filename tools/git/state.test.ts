import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository, plainGit, temporaryFolder } from '../frame/testing.ts'
import { diff } from './diff.ts'
import { files, show } from './files.ts'
import { status } from './status.ts'

const context = contextFor('/')
const showFile = (repository: string, path: string, more = {}) => show.run(show.input.parse({ repository, path, ...more }), context)
const listFiles = (repository: string, more = {}) => files.run(files.input.parse({ repository, ...more }), context)
const compare = (repository: string, from: string, more = {}) => diff.run(diff.input.parse({ repository, from, ...more }), context)
const state = (repository: string, more = {}) => status.run(status.input.parse({ repository, ...more }), context)

describe('git.files and git.show', () => {
  it('list and show files at a commit, by page and by folder', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: 'old', 'b/c': 'text', 'b/d': 'x', bb: 'y' })
    await commitFiles(path, { a: 'new' })
    expect((await listFiles(path, { limit: 2, offset: 1 })).files.map((file) => file.path)).toEqual(['b/c', 'b/d'])
    expect(await listFiles(path, { under: 'b/' })).toMatchObject({
      total: 2,
      files: [{ path: 'b/c', kind: 'file', size: 4 }, { path: 'b/d' }],
    })
    expect(await showFile(path, 'a', { ref: 'HEAD~1' })).toMatchObject({ content: 'old', encoding: 'utf8', size: 3, truncated: false })
  })

  it('show binary content as base64, a symbolic link as where it leads, and a part of a long file', async () => {
    const path = await emptyRepository()
    await symlink('target', join(path, 'link'))
    await commitFiles(path, { bin: Buffer.from([0, 255]), long: 'é'.repeat(1_000) })
    expect(await showFile(path, 'bin')).toMatchObject({ content: 'AP8=', encoding: 'base64' })
    expect(await showFile(path, 'link')).toMatchObject({ content: 'target', kind: 'symlink' })
    expect(await showFile(path, 'long', { maxBytes: 11 })).toMatchObject({
      content: 'ééééé',
      encoding: 'utf8',
      size: 2_000,
      truncated: true,
    })
  })

  it('find a file whose name is not UTF-8 by the name that was listed', async () => {
    const path = await emptyRepository()
    await writeFile(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0x2e])]), 'found')
    await commitFiles(path, {})
    const [file] = (await listFiles(path)).files
    expect(file?.path).toBe('\\xff.')
    expect(await showFile(path, '\\xff.')).toMatchObject({ content: 'found' })
  })

  it('say that a file is not there', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await expect(showFile(path, 'b')).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('git.diff', () => {
  it('gives the files, the lines and the patch, cut where it is too long', async () => {
    const path = await emptyRepository()
    const from = await commitFiles(path, { a: '1\n', gone: 'x\n' })
    await plainGit(path, ['rm', '--quiet', 'gone'])
    await commitFiles(path, { a: '1\n2\n', bin: Buffer.from([0, 1]) })
    const found = await compare(path, from)
    expect(found).toMatchObject({
      files: [{ path: 'a', additions: 1, deletions: 0 }, { path: 'bin' }, { path: 'gone', additions: 0, deletions: 1 }],
      total: 3,
      additions: 1,
      deletions: 1,
      truncated: false,
    })
    expect(found.patch).toContain('+2')
    expect(await compare(path, from, { maxBytes: 10 })).toMatchObject({ patch: 'diff --git', truncated: true, total: 3 })
    expect((await compare(path, from, { path: 'a' })).total).toBe(1)
  })
})

describe('git.status', () => {
  it('tells what is staged, changed and untracked', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { 'a b': '1', c: '1', d: '1' })
    await writeFile(join(path, 'a b'), '22')
    await writeFile(join(path, 'new'), '1')
    await plainGit(path, ['rm', '--quiet', 'c'])
    await writeFile(join(path, 'é\nx'), '1')
    expect(await state(path)).toEqual({
      branch: 'main',
      upstream: undefined,
      clean: false,
      changes: [
        { path: 'a b', staged: 'unchanged', unstaged: 'modified' },
        { path: 'c', staged: 'deleted', unstaged: 'unchanged' },
        { path: 'new', staged: 'untracked', unstaged: 'untracked' },
        { path: 'é\nx', staged: 'untracked', unstaged: 'untracked' },
      ],
      total: 4,
    })
    expect(await state(path, { limit: 1 })).toMatchObject({ total: 4, changes: [{ path: 'a b' }] })
  })

  it('tells a conflict, and the distance to the upstream', async () => {
    const source = await emptyRepository()
    await commitFiles(source, { a: '1\n' })
    const path = join(await temporaryFolder(), 'clone')
    await plainGit(source, ['clone', '--quiet', source, path])
    await plainGit(path, ['checkout', '--quiet', '-b', 'side'])
    await commitFiles(path, { a: '2\n' })
    await plainGit(path, ['checkout', '--quiet', 'main'])
    await commitFiles(path, { a: '3\n' })
    await plainGit(path, ['merge', 'side']).catch(() => undefined)
    expect(await state(path)).toMatchObject({
      upstream: 'origin/main',
      ahead: 1,
      behind: 0,
      changes: [{ path: 'a', staged: 'unmerged', unstaged: 'unmerged' }],
    })
  })

  it('executes no filter that the repository configures, whatever its name', async () => {
    const path = await emptyRepository()
    const traces = await temporaryFolder()
    await commitFiles(path, { '.gitattributes': '*.txt filter=a.b=c\n*.md filter=two\n', 'a.txt': 'one\n', 'b.md': 'one\n' })
    await plainGit(path, ['config', 'filter.a.b=c.clean', `touch ${traces}/clean; cat`])
    await plainGit(path, ['config', 'filter.two.process', `touch ${traces}/process; cat`])
    await plainGit(path, ['config', 'filter.two.required', 'true'])
    await plainGit(path, ['config', 'core.fsmonitor', `touch ${traces}/fsmonitor; :`])
    await writeFile(join(path, 'a.txt'), 'two\n')
    await writeFile(join(path, 'b.md'), 'two\n')
    expect((await state(path)).total).toBe(2)
    expect(await readdir(traces)).toEqual([])
    await plainGit(path, ['status']).catch(() => undefined)
    expect(await readdir(traces)).toContain('clean') // plain git would have
  })

  it('has nothing to say of a bare repository', async () => {
    await expect(state(await emptyRepository('--bare'))).rejects.toMatchObject({ code: 'invalid_input' })
  })

  it('leaves the index as it is', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await mkdir(join(path, 'x'))
    const before = await plainGit(path, ['hash-object', '.git/index'])
    await writeFile(join(path, 'a'), '1')
    await state(path)
    expect(await plainGit(path, ['hash-object', '.git/index'])).toBe(before)
  })
})
