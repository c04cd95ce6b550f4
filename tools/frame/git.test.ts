import { chmod, mkdir, open, readdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { git, listTree, openRepository, readBlobs, resolveRevision } from './git.ts'
import { commitFiles, emptyRepository, fastImport, plainGit, temporaryFolder } from './testing.ts'

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const item of items) found.push(item)
  return found
}

describe('openRepository', () => {
  it('tells a repository with a work tree', async () => {
    const path = await emptyRepository()
    const head = await commitFiles(path, { a: '1' })
    expect(await openRepository(path)).toMatchObject({ root: path, gitDirectory: join(path, '.git'), bare: false, shallow: false, head })
  })

  it('tells an empty repository, and lists no files in it', async () => {
    const repository = await openRepository(await emptyRepository())
    expect(repository.head).toBeUndefined()
    expect(await all(listTree(repository))).toEqual([])
  })

  it('tells a bare repository', async () => {
    const path = await emptyRepository('--bare')
    expect(await openRepository(path)).toMatchObject({ root: path, gitDirectory: path, bare: true })
  })

  it('tells a shallow clone, and one whose head is detached', async () => {
    const source = await emptyRepository()
    await commitFiles(source, { a: '1' })
    const head = await commitFiles(source, { a: '2' })
    const path = join(await temporaryFolder(), 'clone')
    await plainGit(source, ['clone', '--quiet', '--depth=1', `file://${source}`, path])
    await plainGit(path, ['checkout', '--quiet', '--detach'])
    expect(await openRepository(path)).toMatchObject({ shallow: true, head })
  })

  it('opens a repository through a symbolic link, and a linked work tree', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    const folder = await temporaryFolder()
    await symlink(path, join(folder, 'link'))
    expect((await openRepository(join(folder, 'link'))).root).toBe(path)
    await plainGit(path, ['worktree', 'add', '--quiet', join(folder, 'tree')])
    expect((await openRepository(join(folder, 'tree'))).root).toBe(join(folder, 'tree'))
  })

  it.each([
    ['a folder without a repository', async () => temporaryFolder(), 'not a git repository'],
    ['a path that is not there', async () => join(await temporaryFolder(), 'nothing'), 'No such folder exists'],
    ['a git directory of a work tree', async () => join(await emptyRepository(), '.git'), 'give the folder that holds it'],
  ])('refuses %s with a reason', async (_, make, reason) => {
    await expect(openRepository(await make())).rejects.toMatchObject({ code: 'not_a_repository', message: expect.stringContaining(reason) })
  })

  it('refuses a file', async () => {
    const path = join(await temporaryFolder(), 'file')
    await writeFile(path, '')
    await expect(openRepository(path)).rejects.toMatchObject({ code: 'not_a_repository', message: expect.stringContaining('It is a file') })
  })

  it('does not reach from a folder to the repository around it', async () => {
    const path = await emptyRepository()
    await mkdir(join(path, 'workspace'))
    await expect(openRepository(join(path, 'workspace'))).rejects.toMatchObject({
      code: 'not_a_repository',
      message: expect.stringContaining(`give that path`),
    })
  })

  it('does not follow a repository whose work tree is set to another place', async () => {
    const path = await emptyRepository()
    await plainGit(path, ['config', 'core.worktree', '/'])
    await expect(openRepository(path)).rejects.toMatchObject({ code: 'not_a_repository' })
  })

  it('says that a folder can not be read', async () => {
    const path = await emptyRepository()
    await chmod(path, 0)
    const root = process.geteuid?.() === 0
    if (root) process.seteuid?.(65_534) // root may read everything
    try {
      await expect(openRepository(path)).rejects.toMatchObject({ code: 'tool_failed', message: expect.stringContaining('can not be read') })
    } finally {
      if (root) process.seteuid?.(0)
      await chmod(path, 0o755)
    }
  })
})

it('executes nothing that a hostile repository configures', async () => {
  const path = await emptyRepository()
  const traces = await temporaryFolder()
  await commitFiles(path, { '.gitattributes': '*.txt diff=evil filter=evil\n', 'a.txt': 'one\n' })
  await commitFiles(path, { 'a.txt': 'two\n' })
  const settings: Record<string, string> = {
    'core.fsmonitor': 'fsmonitor',
    'core.pager': 'pager',
    'core.sshCommand': 'ssh',
    'diff.external': 'external',
    'diff.evil.textconv': 'textconv',
    'diff.evil.command': 'command',
    'filter.evil.clean': 'clean',
    'filter.evil.smudge': 'smudge',
    'alias.log': '!alias',
    'alias.ls-tree': '!alias',
    'gpg.program': 'gpg',
    'log.showSignature': 'true',
    'protocol.ext.allow': 'always',
    'remote.origin.url': `ext::sh -c "touch% ${traces}/ext"`,
    'remote.origin.promisor': 'true',
  }
  for (const [name, value] of Object.entries(settings)) {
    const isProgram = !/url|promisor|allow|showSignature/.test(name)
    await plainGit(path, [
      'config',
      name,
      isProgram ? `${value.startsWith('!') ? '!' : ''}touch ${traces}/${value.replace('!', '')}; :` : value,
    ])
  }
  await mkdir(join(path, '.git/hooks'), { recursive: true })
  for (const hook of ['reference-transaction', 'post-index-change', 'post-checkout']) {
    await writeFile(join(path, '.git/hooks', hook), `#!/bin/sh\ntouch ${traces}/hook\n`, { mode: 0o755 })
  }

  const repository = await openRepository(path)
  const entries = await all(listTree(repository))
  await all(readBlobs(repository, [...entries.map(({ oid }) => oid), 'f'.repeat(40)]))
  await git(repository, ['log', '--numstat', '--no-ext-diff', '--no-textconv'])
  await git(repository, ['update-ref', 'refs/heads/x', repository.head ?? ''])
  expect(await readdir(traces)).toEqual([])

  await plainGit(path, ['diff', 'HEAD~1', 'HEAD'])
  await plainGit(path, ['update-ref', 'refs/heads/y', 'HEAD'])
  expect(await readdir(traces)).toEqual(expect.arrayContaining(['hook', 'command'])) // plain git would have
})

describe('listTree and readBlobs', () => {
  it('keep file names that are not UTF-8, with newlines, tabs and backslashes exact', async () => {
    const path = await emptyRepository()
    const names = [
      Buffer.from([0x63, 0x61, 0x66, 0xe9]),
      Buffer.from('new\nline\tand tab'),
      Buffer.from('back\\slash'),
      Buffer.from('日本.txt'),
    ]
    await commitFiles(path, {})
    for (const name of names) await writeFile(Buffer.concat([Buffer.from(`${path}/`), name]), name)
    await plainGit(path, ['add', '--all'])
    await plainGit(path, ['commit', '--quiet', '-m', 'names'])
    const repository = await openRepository(path)
    const entries = await all(listTree(repository))
    expect(entries.map(({ rawPath }) => rawPath.toString('hex')).sort()).toEqual(names.map((name) => name.toString('hex')).sort())
    expect(entries.map((entry) => entry.path).sort()).toEqual(['back\\\\slash', 'caf\\xe9', 'new\nline\tand tab', '日本.txt'])
    for await (const blob of readBlobs(
      repository,
      entries.map(({ oid }) => oid),
    )) {
      const entry = entries.find(({ oid }) => oid === blob.oid)
      expect(blob).toMatchObject({ kind: 'loaded', content: entry?.rawPath })
    }
  })

  it('name submodules, executables and symbolic links for what they are', async () => {
    const inner = await emptyRepository()
    const commit = await commitFiles(inner, { a: '1' })
    const path = await emptyRepository()
    await plainGit(path, ['-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', inner, 'vendor/inner'])
    await symlink('nowhere', join(path, 'link'))
    await writeFile(join(path, 'run'), '#!/bin/sh\n', { mode: 0o755 })
    await commitFiles(path, {})
    const entries = await all(listTree(await openRepository(path)))
    expect(entries.map(({ path: name, mode, type, size }) => [name, mode, type, size])).toEqual([
      ['.gitmodules', '100644', 'blob', expect.any(Number)],
      ['link', '120000', 'blob', 7],
      ['run', '100755', 'blob', 10],
      ['vendor/inner', '160000', 'commit', undefined],
    ])
    const repository = await openRepository(path)
    expect(await all(readBlobs(repository, [commit]))).toEqual([{ oid: commit, kind: 'missing' }])
  })

  it('pass over a file of 200 MB without holding it in memory', async () => {
    const path = await emptyRepository()
    const file = await open(join(path, 'big.bin'), 'w')
    await file.truncate(200 * 1024 * 1024)
    await file.close()
    await commitFiles(path, { 'small.txt': 'small' })
    const repository = await openRepository(path)
    const entries = await all(listTree(repository))
    const before = process.memoryUsage().rss
    let highest = before
    const watch = setInterval(() => {
      highest = Math.max(highest, process.memoryUsage().rss)
    }, 5)
    const blobs = await all(
      readBlobs(
        repository,
        entries.map(({ oid }) => oid),
      ),
    )
    clearInterval(watch)
    expect(blobs).toEqual([
      { oid: entries[0]?.oid, kind: 'too_large', size: 200 * 1024 * 1024 },
      { oid: entries[1]?.oid, kind: 'loaded', size: 5, content: Buffer.from('small') },
    ])
    expect(highest - before).toBeLessThan(100 * 1024 * 1024)
  })

  it('read thousands of blobs in the order asked for, and empty ones', async () => {
    const path = await emptyRepository()
    function* stream() {
      yield 'commit refs/heads/main\ncommitter Ada <a@b> 1700000000 +0000\ndata 1\nx\n'
      for (let index = 0; index < 5_000; index++)
        yield `M 100644 inline f${String(index).padStart(5, '0')}\ndata ${String(index % 3 && index).length}\n${index % 3 && index}\n`
      yield 'M 100644 inline empty\ndata 0\n\ndone\n'
    }
    await fastImport(path, stream())
    const repository = await openRepository(path)
    const entries = await all(listTree(repository))
    const blobs = await all(
      readBlobs(
        repository,
        entries.map(({ oid }) => oid),
      ),
    )
    expect(blobs.map((blob) => (blob.kind === 'loaded' ? blob.content.toString() : blob.kind))).toEqual(
      entries.map((entry) => (entry.path === 'empty' ? '' : String(Number(entry.path.slice(1)) % 3 && Number(entry.path.slice(1))))),
    )
  })

  it('refuse an object id that is none', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    const repository = await openRepository(path)
    await expect(all(readBlobs(repository, ['HEAD:a']))).rejects.toMatchObject({ code: 'invalid_input' })
  })
})

it('takes no option for a revision', async () => {
  const path = await emptyRepository()
  await commitFiles(path, { a: '1' })
  await expect(resolveRevision(await openRepository(path), '--all')).rejects.toMatchObject({ code: 'not_found' })
})

it('ends its work when the signal says so', async () => {
  const path = await emptyRepository()
  await commitFiles(path, { a: '1' })
  const stop = new AbortController()
  const repository = await openRepository(path, stop.signal)
  stop.abort(new Error('stopped'))
  await expect(git(repository, ['log'])).rejects.toThrow('stopped')
})
