import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openCache } from './cache.ts'
import { isAlive, type ProcessIdentity } from './process-identity.ts'
import { defineServer, type Server } from './server.ts'
import { openStack, type Stack } from './stack.ts'

/** A real process with a real port: Node, answering with its own process id. */
function answering(name: string, options: { after?: string[]; program?: string } = {}): Server {
  const program =
    options.program ??
    `require('node:http').createServer((_, answer) => answer.end(String(process.pid))).listen(Number(process.argv[1]), '127.0.0.1')`
  const ask = async (port: number) => (await fetch(`http://127.0.0.1:${port}`)).text()
  return defineServer({
    name,
    summary: 'Answers',
    version: '1',
    ports: ['http'],
    after: options.after,
    install: async () => undefined,
    start: (place) => place.run({ name, command: process.execPath, args: ['-e', program, String(place.port('http'))] }),
    checkReady: (place) => ask(place.port('http')).then(() => undefined),
    env: (place) => ({ [`${name.toUpperCase()}_PORT`]: String(place.port('http')), [`${name.toUpperCase()}_SECRET`]: place.secret('key') }),
    readVersion: async (place) => `pid ${await ask(place.port('http'))}`,
  })
}

describe('a stack', () => {
  let folder: string
  const stacks: Stack[] = []
  const open = (...servers: Server[]) => {
    const stack = openStack(servers, join(folder, 'run'), openCache(join(folder, 'cache')))
    stacks.push(stack)
    return stack
  }
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'soma-stack-'))
  })
  afterEach(async () => {
    for (const stack of stacks.splice(0)) await stack.remove()
    await rm(folder, { recursive: true, force: true })
  })

  test('starts what is asked for and what that needs, and writes their addresses for its owner alone', async () => {
    const stack = open(answering('base'), answering('top', { after: ['base'] }), answering('other'))
    await stack.up(['top'])
    const ready = (await stack.status()).filter(({ isReady }) => isReady).map(({ server }) => server.name)
    expect(ready).toEqual(['base', 'top'])
    const file = join(stack.folder, 'stack.env')
    expect(await readFile(file, 'utf8')).toMatch(/^BASE_PORT="\d+"\nBASE_SECRET="[\w-]{32}"\nTOP_PORT="\d+"\n/)
    expect((await stat(file)).mode & 0o777).toBe(0o600)
  })

  test('a second start leaves what runs alone; two at once start it once', async () => {
    const [one, two] = [open(answering('base')), open(answering('base'))]
    await Promise.all([one.up([]), two.up([])])
    const first = await one.stateOf('base')
    await two.up([])
    expect(await two.stateOf('base')).toEqual(first)
    expect(first.processes).toHaveLength(1)
  })

  test('a server that was killed is seen as not ready and comes back where it was, with the same secret', async () => {
    const stack = open(answering('base'))
    await stack.up([])
    const before = await stack.stateOf('base')
    await stack.down([], { signal: 'SIGKILL' })
    expect((await stack.status())[0]).toMatchObject({ isReady: false })
    expect(await stack.env()).toEqual({})
    await stack.up([])
    const after = await stack.stateOf('base')
    expect(after.ports).toEqual(before.ports)
    expect(after.env).toEqual(before.env)
    expect(after.processes).not.toEqual(before.processes)
  })

  test('a process that died by itself is started again by the next start', async () => {
    const stack = open(answering('base'))
    await stack.up([])
    const { processes } = await stack.stateOf('base')
    const [died] = processes
    process.kill(died?.pid as number, 'SIGKILL')
    await expect.poll(async () => (await stack.status())[0]?.isReady).toBe(false)
    await stack.up([])
    expect((await stack.status())[0]?.isReady).toBe(true)
  })

  test('of a server with several processes, those that live are ended before it starts again', async () => {
    const [half, rest] = [answering('half'), answering('rest')]
    const start: Server['start'] = async (place, cache) => {
      await half.start(place, cache)
      await rest.start({ ...place, port: () => place.port('other') }, cache)
    }
    const stack = open({ ...half, ports: ['http', 'other'], start })
    await stack.up([])
    const before = await stack.stateOf('half')
    process.kill(before.processes[0]?.pid as number, 'SIGKILL')
    await expect.poll(async () => (await stack.status())[0]?.isReady).toBe(false)
    await stack.up([])
    const after = await stack.stateOf('half')
    expect(after.ports).toEqual(before.ports)
    expect(await isAlive(before.processes[1] as ProcessIdentity)).toBe(false)
  })

  test('a server that ends while it starts is told with its log, and leaves no process behind', async () => {
    const stack = open(answering('base', { program: 'console.log("no licence"); process.exit(3)' }))
    await expect(stack.up([])).rejects.toThrow(/base ended while it started. See .*base\.log/)
    expect(await readFile(join(stack.folder, 'base', 'base.log'), 'utf8')).toBe('no licence\n')
    expect((await stack.stateOf('base')).processes).toEqual([])
  })

  test('removing ends every process and throws the data away', async () => {
    const stack = open(answering('base'))
    await stack.up([])
    const { processes } = await stack.stateOf('base')
    await stack.remove()
    await Promise.all(processes.map(async (process) => expect(await isAlive(process)).toBe(false)))
    await expect(stat(stack.folder)).rejects.toThrow('ENOENT')
  })

  test('a name that no server has is refused with the names there are', async () => {
    await expect(open(answering('base')).up(['bass'])).rejects.toThrow('There is no server "bass". There are: base.')
  })
})

describe('the cache', () => {
  let folder: string
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'soma-cache-'))
  })
  afterEach(() => rm(folder, { recursive: true, force: true }))

  test('makes a thing once, however many ask, and not at all when making it fails', async () => {
    const cache = openCache(folder)
    let made = 0
    const make = async () => {
      made++
    }
    await expect(
      cache.once('thing-1', async () => {
        throw new Error('no network')
      }),
    ).rejects.toThrow('no network')
    await Promise.all([cache.once('thing-1', make), cache.once('thing-1', make), openCache(folder).once('thing-1', make)])
    expect(made).toBe(1)
  })

  test('shows what a command said when it fails', async () => {
    const run = openCache(folder).run(process.execPath, ['-e', 'console.error("disk on fire"); process.exit(1)'])
    await expect(run).rejects.toThrow('disk on fire')
  })
})
