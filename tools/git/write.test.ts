import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { SomaError } from '@soma/contracts/errors'
import { describe, expect, it, onTestFinished } from 'vitest'
import { commitFiles, contextFor, emptyRepository, plainGit, temporaryFolder } from '../frame/testing.ts'
import * as branches from './branches.ts'
import { clone } from './clone.ts'
import { commit } from './commit.ts'

const context = contextFor('/')
const make = (repository: string, branch: string, more = {}, key = 'k') =>
  branches.create.run(branches.create.input.parse({ repository, branch, ...more }), { ...context, key })
const remove = (repository: string, branch: string, more = {}) =>
  branches.remove.run(branches.remove.input.parse({ repository, branch, ...more }), context)
const write = (repository: string, more: object, key = 'k') =>
  commit.run(commit.input.parse({ repository, branch: 'agent/work', message: 'Write', ...more }), { ...context, key })

function marker<Input, Output>(operation: {
  idempotency: { kind: string; find?(input: Input, context: object): Promise<Output | undefined> }
}) {
  const { find } = operation.idempotency
  if (!find) throw new Error('the operation has no marker')
  return find
}

describe('git.branches', () => {
  it('tell what is merged, stale and checked out', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' }, { date: '2020-01-01T00:00:00Z' })
    await plainGit(path, ['branch', 'old'])
    await plainGit(path, ['checkout', '--quiet', '-b', 'feature'])
    await commitFiles(path, { a: '2' }, { date: new Date().toISOString() })
    await plainGit(path, ['checkout', '--quiet', 'main'])
    const found = await branches.list.run(branches.list.input.parse({ repository: path }), context)
    expect(found.total).toBe(3)
    expect(Object.fromEntries(found.branches.map(({ name, merged, stale, current }) => [name, { merged, stale, current }]))).toEqual({
      feature: { merged: false, stale: false, current: false },
      old: { merged: true, stale: true, current: false },
      main: { merged: true, stale: true, current: true },
    })
  })

  it('are made once: a call whose outcome was lost is found, another call with the same name is refused', async () => {
    const path = await emptyRepository()
    const first = await commitFiles(path, { a: '1' })
    const find = marker(branches.create)
    const input = branches.create.input.parse({ repository: path, branch: 'agent/one' })
    expect(await find(input, { ...context, key: 'k1' })).toBeUndefined()
    const made = await make(path, 'agent/one', {}, 'k1')
    await commitFiles(path, { a: '2' })
    expect(made).toEqual({ name: 'agent/one', oid: first })
    expect(await find(input, { ...context, key: 'k1' })).toEqual(made)
    expect(await find(input, { ...context, key: 'k2' })).toBeUndefined()
    await expect(make(path, 'agent/one', {}, 'k2')).rejects.toMatchObject({ code: 'conflict' })
  })

  it.each(['-d', 'a..b', 'a b', 'x.lock', '@{-1}', '/a'])('can not be named %s', async (name) => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await expect(make(path, name)).rejects.toMatchObject({ code: 'invalid_input' })
  })

  it('are not deleted when checked out, or when commits would be lost', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await write(path, { files: [{ path: 'b', content: '1' }] })
    await expect(remove(path, 'main')).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('checked out') })
    await expect(remove(path, 'agent/work')).rejects.toMatchObject({ code: 'conflict', details: { lost: 1 } })
    await expect(remove(path, 'nope')).rejects.toMatchObject({ code: 'not_found' })
    const oid = await plainGit(path, ['rev-parse', 'agent/work'])
    expect(await remove(path, 'agent/work', { force: true })).toEqual({ name: 'agent/work', oid })
    expect(await marker(branches.remove)(branches.remove.input.parse({ repository: path, branch: 'agent/work' }), context)).toEqual({
      name: 'agent/work',
    })
  })

  it('are not deleted when another work tree has them checked out', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await plainGit(path, ['worktree', 'add', '--quiet', '-b', 'side', join(await temporaryFolder(), 'tree')])
    await expect(remove(path, 'side', { force: true })).rejects.toMatchObject({ code: 'conflict' })
  })
})

describe('git.commit', () => {
  it('writes, replaces and removes files on a branch, and touches nobody', async () => {
    const path = await emptyRepository()
    const base = await commitFiles(path, { 'a/keep': 'kept', gone: 'x', run: 'old' })
    await writeFile(join(path, 'run'), 'being edited')
    await writeFile(join(path, 'staged'), 'staged')
    await plainGit(path, ['add', 'staged'])
    const untouched = async () => [
      await plainGit(path, ['hash-object', '.git/index']),
      await plainGit(path, ['rev-parse', 'HEAD']),
      await plainGit(path, ['symbolic-ref', 'HEAD']),
      await readFile(join(path, 'run'), 'utf8'),
      await readdir(path),
    ]
    const before = await untouched()
    const made = await write(path, {
      message: 'Tidy up\n\nBecause.',
      author: { name: 'Eve', email: 'eve@example.org' },
      files: [
        { path: 'run', content: 'new', executable: true },
        { path: 'deep/er/bin', content: 'AP8=', encoding: 'base64' },
        { path: '\\xff', content: 'odd name' },
        { path: 'gone', delete: true },
      ],
    })
    expect(await untouched()).toEqual(before)
    expect(made).toEqual({ branch: 'agent/work', oid: await plainGit(path, ['rev-parse', 'agent/work']), parent: base })
    expect(await plainGit(path, ['-c', 'core.quotePath=true', 'ls-tree', '-r', '--name-only', 'agent/work'])).toBe(
      'a/keep\ndeep/er/bin\nrun\n"\\377"',
    )
    expect(await plainGit(path, ['show', 'agent/work:run'])).toBe('new')
    expect(await plainGit(path, ['log', '-1', '--format=%an <%ae> %s', 'agent/work'])).toBe('Eve <eve@example.org> Tidy up')
    expect(await plainGit(path, ['log', '-1', '--format=%(trailers:key=Soma-Key,valueonly)', 'agent/work'])).toMatch(/^[0-9a-f]{64}$/)
    await plainGit(path, ['fsck', '--strict'])
  })

  it('is found again by its key, and by no other', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    const files = [{ path: 'a', content: '2' }]
    const input = commit.input.parse({ repository: path, branch: 'agent/work', message: 'Write', files })
    const find = marker(commit)
    expect(await find(input, { ...context, key: 'k1' })).toBeUndefined()
    const first = await write(path, { files }, 'k1')
    await write(path, { files: [{ path: 'a', content: '3' }] }, 'k2')
    expect(await find(input, { ...context, key: 'k1' })).toEqual(first)
    expect(await find(input, { ...context, key: 'k3' })).toBeUndefined()
  })

  it('makes the first commit of an empty bare repository, and goes on from it', async () => {
    const path = await emptyRepository('--bare')
    const first = await write(path, { branch: 'main', files: [{ path: 'a', content: '1' }] })
    expect(first.parent).toBeUndefined()
    const second = await write(path, { branch: 'main', files: [{ path: 'b', content: '2' }] })
    expect(second.parent).toBe(first.oid)
    expect(await plainGit(path, ['ls-tree', '--name-only', 'main'])).toBe('a\nb')
  })

  it('refuses a branch that somebody has checked out, even before its first commit', async () => {
    const path = await emptyRepository()
    const files = [{ path: 'a', content: '1' }]
    await expect(write(path, { branch: 'main', files })).rejects.toMatchObject({ code: 'conflict' })
    await commitFiles(path, { a: '1' })
    await expect(write(path, { branch: 'main', files })).rejects.toMatchObject({ code: 'conflict' })
  })

  it.each(['../out', '.git/config', '/etc/passwd', 'a//b', 'a/'])('refuses the path %s', async (name) => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await expect(write(path, { files: [{ path: name, content: 'x' }] })).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(plainGit(path, ['rev-parse', '--verify', '--quiet', 'agent/work'])).rejects.toThrow()
  })

  it('loses neither of two commits that race for a branch', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await write(path, { files: [{ path: 'a', content: '0' }] })
    const racers = await Promise.allSettled(
      [1, 2, 3, 4].map((number) => write(path, { files: [{ path: `f${number}`, content: 'x' }] }, `k${number}`)),
    )
    const won = racers.filter(({ status }) => status === 'fulfilled').length
    for (const racer of racers) if (racer.status === 'rejected') expect(racer.reason).toMatchObject({ code: 'conflict' })
    expect(won).toBeGreaterThan(0)
    expect(await plainGit(path, ['rev-list', '--count', 'main..agent/work'])).toBe(String(won + 1))
  })
})

describe('git.clone', () => {
  const copy = (source: string, workspace: string, more = {}, given = {}) =>
    clone.run(clone.input.parse({ source, folder: 'copy', ...more }), contextFor(workspace, given))

  it('copies a repository into the workspace, is found by its key, and does not overwrite', async () => {
    const source = await emptyRepository()
    const head = await commitFiles(source, { a: '1' })
    const workspace = await temporaryFolder()
    const input = clone.input.parse({ source, folder: 'copy' })
    expect(await marker(clone)(input, contextFor(workspace))).toBeUndefined()
    expect(await copy(source, workspace)).toEqual({ path: join(workspace, 'copy'), head })
    expect(await marker(clone)(input, contextFor(workspace))).toEqual({ path: join(workspace, 'copy'), head })
    expect(await marker(clone)(input, contextFor(workspace, { key: 'another' }))).toBeUndefined()
    await expect(copy(source, workspace)).rejects.toMatchObject({ code: 'conflict' })
    expect(await readdir(workspace)).toEqual(['copy'])
  })

  it('takes a branch and a depth, and an empty source', async () => {
    const source = await emptyRepository()
    await commitFiles(source, { a: '1' })
    await plainGit(source, ['checkout', '--quiet', '-b', 'side'])
    const head = await commitFiles(source, { a: '2' })
    await plainGit(source, ['checkout', '--quiet', 'main'])
    const workspace = await temporaryFolder()
    expect(await copy(source, workspace, { branch: 'side', depth: 1 })).toMatchObject({ head })
    expect(await plainGit(join(workspace, 'copy'), ['rev-list', '--count', 'HEAD'])).toBe('1')
    await expect(copy(source, workspace, { branch: 'nope', folder: 'two' })).rejects.toMatchObject({ code: 'not_found' })
    expect((await copy(await emptyRepository(), workspace, { folder: 'empty' })).head).toBeUndefined()
  })

  it('runs nothing that the source brings', async () => {
    const source = await emptyRepository()
    const traces = await temporaryFolder()
    await commitFiles(source, { '.gitattributes': '* filter=evil\n', a: '1' })
    for (const name of ['filter.evil.smudge', 'core.fsmonitor', 'uploadpack.packObjectsHook', 'core.alternateRefsCommand']) {
      await plainGit(source, ['config', name, `touch ${traces}/${name}; cat`])
    }
    await writeFile(join(source, '.git/hooks/post-checkout'), `#!/bin/sh\ntouch ${traces}/hook\n`, { mode: 0o755 })
    await copy(source, await temporaryFolder())
    expect(await readdir(traces)).toEqual([])
  })

  it.runIf(process.geteuid?.() === 0)('copies a repository that belongs to another user of the machine', async () => {
    const source = await emptyRepository()
    const head = await commitFiles(source, { a: '1' })
    await promisify(execFile)('chown', ['-R', '65534', source])
    await expect(plainGit(source, ['log'])).rejects.toThrow('dubious ownership')
    expect(await copy(source, await temporaryFolder())).toMatchObject({ head })
  })

  it.each(['ext::sh -c touch', 'ssh://host/x', ['https://user', 'secret@example.org/x'].join(':'), '-x', 'relative'])(
    'refuses %s for a source',
    (source) => {
      expect(clone.input.safeParse({ source, folder: 'copy' }).success).toBe(false)
    },
  )

  it('leaves the machine only through the fetch it was given', async () => {
    const source = await emptyRepository()
    const head = await commitFiles(source, { a: 'x'.repeat(200_000), b: '2' })
    const address = await serveByHttp(source)
    const workspace = await temporaryFolder()
    const asked: string[] = []
    const watched: typeof fetch = (input, init) => {
      asked.push(String(input))
      return fetch(input, init)
    }
    expect(await copy(address, workspace, {}, { fetch: watched })).toEqual({ path: join(workspace, 'copy'), head })
    expect(asked[0]).toBe(`${address}/info/refs?service=git-upload-pack`)
    expect(asked.slice(1).every((url) => url === `${address}/git-upload-pack`)).toBe(true)
    expect(await plainGit(join(workspace, 'copy'), ['remote', 'get-url', 'origin'])).toBe(address)

    const blocked = new SomaError('egress_blocked', 'No.')
    const refusing: typeof fetch = async () => {
      throw blocked
    }
    await expect(copy(address, workspace, { folder: 'two' }, { fetch: refusing })).rejects.toBe(blocked)
    await expect(copy(`${address}/nope`, workspace, { folder: 'two' })).rejects.toMatchObject({
      code: 'tool_failed',
      details: { status: 404 },
    })
    expect(await readdir(workspace)).toEqual(['copy'])
  })
})

/** Git's own server for the smart HTTP protocol, behind the least of a web server. */
async function serveByHttp(repository: string): Promise<string> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://host')
    const env = {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: dirname(repository),
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    }
    const child = spawn('git', ['http-backend'], { env })
    request.pipe(child.stdin)
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.on('close', () => {
      const answer = Buffer.concat(chunks)
      const end = answer.indexOf('\r\n\r\n')
      const headers = answer
        .toString('latin1', 0, end)
        .split('\r\n')
        .map((line) => line.split(': '))
      const status = Number.parseInt(headers.find(([name]) => name === 'Status')?.[1] ?? '200', 10)
      response.writeHead(status, Object.fromEntries(headers.filter(([name]) => name !== 'Status')))
      response.end(answer.subarray(end + 4))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}${repository.slice(dirname(repository).length)}`
}
