import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openChdb } from './chdb.ts'
import { analyticsConformance } from './conformance.ts'

let directory: string
const others: ChildProcess[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'soma-analytics-'))
})
afterEach(async () => {
  for (const other of others.splice(0)) other.kill('SIGKILL')
  await rm(directory, { recursive: true, force: true })
})

/** Another process that has the folder, and does with it what the rest of the program says. */
async function inAnotherProcess(rest: string) {
  const program = `
    import { openChdb } from '${new URL('chdb.ts', import.meta.url)}'
    const analytics = await openChdb({ directory: process.argv[1] })
    ${rest}
  `
  const other = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', program, directory], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  others.push(other)
  const exited = once(other, 'exit') as Promise<[number | null, NodeJS.Signals | null]>
  const lines = createInterface({ input: other.stdout })[Symbol.asyncIterator]()
  return { process: other, exited, nextLine: async () => (await lines.next()).value as string | undefined }
}

const WRITE_UNTIL_KILLED = `
  await analytics.command('create table lines (id UInt32, name String) engine = MergeTree order by id')
  for (let from = 0; ; from += 100) {
    await analytics.insert('lines', Array.from({ length: 100 }, (_, at) => ({ id: from + at, name: 'line' })))
    console.log(from + 100)
  }
`

analyticsConformance('chdb', async () => {
  const root = await mkdtemp(join(tmpdir(), 'soma analytics ü '))
  const analytics = await openChdb({ directory: root })
  return {
    ...analytics,
    close: async () => {
      await analytics.close()
      await rm(root, { recursive: true, force: true })
    },
  }
})

test('rows are there after closing and opening again', async () => {
  const first = await openChdb({ directory })
  await first.command('create table kept (id UInt32) engine = MergeTree order by id')
  await first.insert('kept', [{ id: 1 }])
  await first.close()
  const second = await openChdb({ directory })
  expect(await second.query('select id from kept')).toEqual([{ id: 1 }])
  await second.close()
})

test('kill -9 at any instant loses nothing that was confirmed, batches are whole, and the folder opens again', async () => {
  const writer = await inAnotherProcess(WRITE_UNTIL_KILLED)
  let confirmed = 0
  for (let line = await writer.nextLine(); line; line = await writer.nextLine()) {
    confirmed = Number(line)
    if (confirmed === 2000) setTimeout(() => writer.process.kill('SIGKILL'), Math.random() * 20)
  }
  await writer.exited
  const analytics = await openChdb({ directory })
  const [row] = await analytics.query<{ rows: number }>('select toUInt32(count()) as rows from lines')
  await analytics.close()
  expect(row?.rows).toBeGreaterThanOrEqual(confirmed)
  expect((row?.rows ?? 1) % 100).toBe(0)
})

test('a folder that another process has open is refused, naming the process, and opens when that one is through', async () => {
  const owner = await inAnotherProcess("console.log('open'); process.stdin.once('data', () => analytics.close())")
  expect(await owner.nextLine()).toBe('open')
  await expect(openChdb({ directory })).rejects.toMatchObject({
    code: 'data_directory_in_use',
    message: expect.stringContaining(`Process ${owner.process.pid}`),
  })
  owner.process.stdin.end('close')
  expect(await owner.exited).toEqual([0, null])
  await (await openChdb({ directory })).close()
})

test('a second folder in one process is refused while the first is open', async () => {
  const first = await openChdb({ directory })
  const elsewhere = join(directory, 'elsewhere')
  await expect(openChdb({ directory: elsewhere })).rejects.toMatchObject({
    code: 'data_directory_in_use',
    message: expect.stringContaining(directory),
  })
  await first.close()
})

test('closing waits for what still runs, and the folder is free at once', async () => {
  const analytics = await openChdb({ directory })
  const running = analytics.query('select sleep(1)')
  await analytics.close()
  expect(await running).toHaveLength(1)
  await expect(analytics.query('select 1')).rejects.toMatchObject({ code: 'dependency_unavailable' })
  const elsewhere = join(directory, 'elsewhere')
  await (await openChdb({ directory: elsewhere })).close()
})

test.each([
  ['ends without closing', '', 0],
  ['exits in the middle of a statement', "analytics.query('select sleep(1)'); setTimeout(() => process.exit(3), 100)", 3],
  ['throws', "setTimeout(() => { process.on('uncaughtException', () => process.exit(4)); throw new Error('on purpose') })", 4],
  [
    'is asked to stop',
    "process.once('SIGTERM', () => process.exit(5)); setInterval(() => {}, 1000); process.kill(process.pid, 'SIGTERM')",
    5,
  ],
])('a process that %s exits as if the engine were not there', async (_, rest, code) => {
  const other = await inAnotherProcess(rest)
  expect(await other.exited).toEqual([code, null])
  await (await openChdb({ directory })).close()
})

test('a long statement leaves the event loop free', async () => {
  const analytics = await openChdb({ directory })
  let ticks = 0
  const ticking = setInterval(() => ticks++, 1)
  const started = performance.now()
  await analytics.query('select sleep(1)')
  clearInterval(ticking)
  expect(ticks).toBeGreaterThan((performance.now() - started) / 20)
  await analytics.close()
})

test('a folder that is none, or holds something else, is refused with what to do', async () => {
  const file = join(directory, 'file')
  await writeFile(file, '')
  await expect(openChdb({ directory: file })).rejects.toMatchObject({
    code: 'data_directory_corrupt',
    message: expect.stringContaining('choose another data directory'),
  })
  const good = join(directory, 'good')
  const analytics = await openChdb({ directory: good })
  await analytics.command('create table kept (id UInt32) engine = MergeTree order by id')
  await analytics.close()
  const bad = join(directory, 'bad')
  await cp(good, bad, { recursive: true })
  for (const name of await readdir(bad, { recursive: true })) if (name.endsWith('kept.sql')) await writeFile(join(bad, name), 'garbage')
  await expect(openChdb({ directory: bad })).rejects.toMatchObject({
    code: 'data_directory_corrupt',
    message: expect.stringContaining('built anew from the journal'),
  })
})
