import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { commitFiles, contextFor, emptyRepository, fastImport, plainGit, syntheticHistory, temporaryFolder } from '../frame/testing.ts'
import { activity } from './activity.ts'
import { churn } from './churn.ts'
import { inspect } from './inspect.ts'
import { log } from './log.ts'
import { ownership } from './ownership.ts'

const context = contextFor('/')
const measureActivity = (repository: string, more = {}) => activity.run(activity.input.parse({ repository, ...more }), context)
const measureOwnership = (repository: string, more = {}) => ownership.run(ownership.input.parse({ repository, ...more }), context)
const measureChurn = (repository: string, more = {}) => churn.run(churn.input.parse({ repository, ...more }), context)
const readLog = (repository: string, more = {}) => log.run(log.input.parse({ repository, ...more }), context)
const look = (repository: string) => inspect.run(inspect.input.parse({ repository }), context)

const ada = { name: 'Ada', email: 'ada@example.org' }
const bob = { name: 'Bob', email: 'bob@example.org' }

async function shallowClone(source: string): Promise<string> {
  const path = join(await temporaryFolder(), 'clone')
  await plainGit(source, ['clone', '--quiet', '--depth=2', `file://${source}`, path])
  return path
}

describe('an empty repository', () => {
  it('is inspected, and measured as nothing', async () => {
    const path = await emptyRepository()
    const coverage = { commits: 0, truncated: false, shallow: false }
    expect(await look(path)).toMatchObject({ empty: true, branch: 'main', commits: 0, branches: 0, files: 0, bytes: 0, submodules: [] })
    expect(await measureActivity(path)).toMatchObject({ coverage, additions: 0, weeks: [], authorCount: 0, authors: [] })
    expect(await measureOwnership(path)).toMatchObject({ coverage, whole: { busFactor: 0, holderCount: 0, holders: [] }, folders: [] })
    expect(await measureChurn(path)).toEqual({ coverage, filesChanged: 0, hotSpots: [] })
    expect(await readLog(path)).toEqual({ commits: [] })
  })

  it('may be bare', async () => {
    expect(await look(await emptyRepository('--bare'))).toMatchObject({ bare: true, empty: true })
  })
})

describe('git.inspect', () => {
  it('counts commits, branches, tags and files, and names the first and last commit', async () => {
    const path = await emptyRepository()
    const first = await commitFiles(path, { a: '12345' }, { message: 'Begin', date: '2020-01-01T00:00:00Z' })
    const last = await commitFiles(path, { 'b/c': '1' }, { message: 'Go on\n\nbody', ...bob, date: '2021-01-01T00:00:00Z' })
    await plainGit(path, ['branch', 'other'])
    await plainGit(path, ['tag', 'v1'])
    expect(await look(path)).toEqual({
      path,
      head: last,
      branch: 'main',
      bare: false,
      shallow: false,
      empty: false,
      commits: 2,
      branches: 2,
      tags: 1,
      files: 2,
      bytes: 6,
      largest: { path: 'a', size: 5 },
      first: { oid: first, at: '2020-01-01T00:00:00.000Z', subject: 'Begin', author: ada },
      last: { oid: last, at: '2021-01-01T00:00:00.000Z', subject: 'Go on', author: bob },
      submodules: [],
    })
  })

  it('names no branch when HEAD is detached', async () => {
    const path = await emptyRepository()
    const head = await commitFiles(path, { a: '1' })
    await plainGit(path, ['checkout', '--quiet', '--detach'])
    const found = await look(path)
    expect(found.branch).toBeUndefined()
    expect(found.head).toBe(head)
  })

  it('names submodules and where they come from', async () => {
    const inner = await emptyRepository()
    const commit = await commitFiles(inner, { a: '1' })
    const path = await emptyRepository()
    await plainGit(path, ['-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', inner, 'vendor/inner'])
    await commitFiles(path, {})
    expect((await look(path)).submodules).toEqual([{ path: 'vendor/inner', commit, url: inner }])
  })

  it('weighs a file of 200 MB without reading it', async () => {
    const path = await emptyRepository()
    const file = await open(join(path, 'big.bin'), 'w')
    await file.truncate(200 * 1024 * 1024)
    await file.close()
    await plainGit(path, ['config', 'core.compression', '0'])
    await commitFiles(path, {})
    await commitFiles(path, { 'a.ts': 'x' })
    expect(await look(path)).toMatchObject({ bytes: 200 * 1024 * 1024 + 1, largest: { path: 'big.bin' } })
    expect(await measureActivity(path)).toMatchObject({ additions: 1, coverage: { commits: 2 } })
  })
})

describe('git.log', () => {
  it('gives every commit once, page by page, also while new ones come', async () => {
    const path = await emptyRepository()
    const made: string[] = []
    for (let number = 0; number < 7; number++) made.unshift(await commitFiles(path, { a: String(number) }, { message: `Number ${number}` }))
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await readLog(path, { limit: 3, cursor })
      seen.push(...page.commits.map(({ oid }) => oid))
      cursor = page.cursor
      await commitFiles(path, { a: `new ${seen.length}` })
    } while (cursor)
    expect(seen).toEqual(made)
  })

  it('keeps messages and names as they were written', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' }, { message: 'Füge hinzu\n\nErste Zeile\n\nZweite', name: 'Jürgen 日本', email: 'j@example.org' })
    const [commit] = (await readLog(path)).commits
    expect(commit).toMatchObject({ subject: 'Füge hinzu', body: 'Erste Zeile\n\nZweite', author: { name: 'Jürgen 日本' }, parents: [] })
  })

  it('takes a path for a path, whatever pattern it looks like', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { 'a.ts': '1' })
    await commitFiles(path, { '*.ts': '1' }, { message: 'Star' })
    expect((await readLog(path, { path: '*.ts' })).commits.map(({ subject }) => subject)).toEqual(['Star'])
  })

  it('refuses a cursor that it did not give, and a ref that names nothing', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1' })
    await expect(readLog(path, { cursor: '--all:1' })).rejects.toMatchObject({ code: 'invalid_input' })
    await expect(readLog(path, { ref: 'nope' })).rejects.toMatchObject({ code: 'not_found' })
  })
})

describe('git.activity', () => {
  it('counts by week, weekday and hour where the commit was written, and by person', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1\n2\n3\n' }, { date: '2024-01-07T23:30:00-05:00' }) // a Sunday there, Monday in Greenwich
    await commitFiles(path, { a: '1\n2\n' }, { ...bob, date: '2024-01-08T09:00:00+0200' })
    await commitFiles(path, { a: '1\n2\n4\n5\n' }, { ...bob, date: '2024-01-10T09:59:59+0200' })
    expect(await measureActivity(path)).toEqual({
      coverage: { commits: 3, truncated: false, shallow: false },
      additions: 5,
      deletions: 1,
      firstAt: '2024-01-08T04:30:00.000Z',
      lastAt: '2024-01-10T07:59:59.000Z',
      weeks: [
        { week: '2024-01-01', commits: 1 },
        { week: '2024-01-08', commits: 2 },
      ],
      weekdays: [1, 0, 1, 0, 0, 0, 1],
      hours: Array.from({ length: 24 }, (_, hour) => ({ 9: 2, 23: 1 })[hour] ?? 0),
      punchCard: Array.from({ length: 7 }, (_, day) =>
        Array.from({ length: 24 }, (_, hour) => Number(['0 9', '2 9', '6 23'].includes(`${day} ${hour}`))),
      ),
      authorCount: 2,
      authors: [
        { ...bob, commits: 2, additions: 2, deletions: 1, firstAt: '2024-01-08T07:00:00.000Z', lastAt: '2024-01-10T07:59:59.000Z' },
        { ...ada, commits: 1, additions: 3, deletions: 0, firstAt: '2024-01-08T04:30:00.000Z', lastAt: '2024-01-08T04:30:00.000Z' },
      ],
    })
  })

  it('merges people by .mailmap, and by address', async () => {
    const path = await emptyRepository()
    await commitFiles(
      path,
      { '.mailmap': 'Ada Lovelace <ada@example.org> <countess@old.example>\n' },
      { name: 'A.', date: '2024-01-01T00:00:00Z' },
    )
    await commitFiles(path, { a: '1' }, { name: 'Countess', email: 'countess@old.example', date: '2024-01-02T00:00:00Z' })
    await commitFiles(path, { a: '2' }, { name: 'ada', email: 'ADA@example.org', date: '2024-01-01T00:00:00Z' })
    const found = await measureActivity(path)
    expect(found.authorCount).toBe(1)
    expect(found.authors[0]).toMatchObject({ name: 'Ada Lovelace', email: 'ada@example.org', commits: 3 })
  })

  it('says when there is more than it looked at', async () => {
    const path = await emptyRepository()
    for (const a of ['1', '2', '3']) await commitFiles(path, { a }, { date: `2024-0${a}-01T00:00:00Z` })
    expect((await measureActivity(path, { maxCommits: 2 })).coverage).toEqual({ commits: 2, truncated: true, shallow: false })
    expect((await measureActivity(path, { maxCommits: 3 })).coverage).toEqual({ commits: 3, truncated: false, shallow: false })
    expect((await measureActivity(path, { since: '2024-02-01T00:00:00Z' })).coverage.commits).toBe(2)
  })

  it('does not take the edge of a shallow clone for somebody who wrote everything', async () => {
    const source = await emptyRepository()
    await commitFiles(source, { a: '1\n'.repeat(500) })
    await commitFiles(source, { b: '1\n' }, bob)
    await commitFiles(source, { c: '1\n' }, bob)
    const path = await shallowClone(source)
    expect(await measureActivity(path)).toMatchObject({ coverage: { commits: 2, shallow: true }, additions: 1 })
    expect((await measureOwnership(path)).whole.holders).toEqual([expect.objectContaining({ ...bob, share: 1 })])
    expect((await measureChurn(path)).filesChanged).toBe(1)
  })

  it('takes dates that no calendar knows', async () => {
    const path = await emptyRepository()
    const who = (date: string) => `author Ada <a@b> ${date}\ncommitter Ada <a@b> 1700000000 +0000\ndata 1\nx\n`
    await fastImport(path, [`commit refs/heads/main\n${who('99999999999999 +0000')}commit refs/heads/main\n${who('0 -1400')}done\n`])
    expect((await measureActivity(path)).coverage.commits).toBe(2)
  })

  it('counts merges as commits, and their lines once', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1\n' })
    await plainGit(path, ['checkout', '--quiet', '-b', 'side'])
    await commitFiles(path, { b: '1\n' })
    await plainGit(path, ['checkout', '--quiet', 'main'])
    await commitFiles(path, { c: '1\n' })
    await plainGit(path, ['merge', '--quiet', '--no-edit', 'side'])
    expect(await measureActivity(path)).toMatchObject({ coverage: { commits: 4 }, additions: 3 })
  })
})

describe('git.ownership', () => {
  const asOf = '2024-07-01T00:00:00Z'

  it('finds who holds what, the bus factor, and the folder whose only holder is away', async () => {
    const path = await emptyRepository()
    const lines = (count: number, text: string) => `${text}\n`.repeat(count)
    await commitFiles(path, { 'engine/core.ts': lines(100, 'a') }, { ...ada, date: '2023-06-01T00:00:00Z' })
    await commitFiles(path, { 'web/page.ts': lines(100, 'b') }, { ...bob, date: '2024-06-01T00:00:00Z' })
    await commitFiles(
      path,
      { 'web/page.ts': `${lines(100, 'b')}${lines(40, 'c')}` },
      { name: 'Cy', email: 'cy@example.org', date: '2024-06-02T00:00:00Z' },
    )
    const found = await measureOwnership(path, { asOf })
    expect(found.atRisk).toEqual(['engine'])
    expect(found.folders).toEqual([
      expect.objectContaining({ folder: 'engine', files: 1, busFactor: 1, holderCount: 1, atRisk: true }),
      expect.objectContaining({ folder: 'web', files: 1, busFactor: 1, holderCount: 2, atRisk: false }),
    ])
    expect(found.folders[1]?.holders).toEqual([
      { ...bob, share: expect.closeTo(100 / 140, 2), lastAt: '2024-06-01T00:00:00.000Z', away: false },
      { name: 'Cy', email: 'cy@example.org', share: expect.closeTo(40 / 140, 2), lastAt: '2024-06-02T00:00:00.000Z', away: false },
    ])
    expect(found.folders[0]?.holders[0]).toMatchObject({ ...ada, share: 1, away: true })
  })

  it('gives recent work more weight: half for each half-life', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { a: '1\n2\n3\n4\n' }, { ...ada, date: '2023-01-01T00:00:00Z' })
    await commitFiles(path, { b: '1\n2\n3\n4\n' }, { ...bob, date: '2024-01-01T00:00:00Z' })
    const { whole } = await measureOwnership(path, { asOf, halfLifeDays: 365 })
    expect(whole.holders.map(({ name, share }) => [name, share])).toEqual([
      ['Bob', expect.closeTo(2 / 3, 3)],
      ['Ada', expect.closeTo(1 / 3, 3)],
    ])
  })

  it('takes two people when neither of the larger holds half', async () => {
    const path = await emptyRepository()
    for (const name of ['Ann', 'Ben', 'Cat', 'Dan']) {
      await commitFiles(path, { [name]: '1\n' }, { name, email: `${name}@example.org`, date: '2024-01-01T00:00:00Z' })
    }
    expect((await measureOwnership(path, { asOf })).whole).toMatchObject({ busFactor: 2, holderCount: 4 })
  })

  it('forgets folders that are gone, and keeps names that are not UTF-8', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { 'old/a': '1\n' })
    await plainGit(path, ['rm', '-r', '--quiet', 'old'])
    const folder = Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xe9, 0x74, 0xe9])])
    await mkdir(folder)
    await writeFile(Buffer.concat([folder, Buffer.from('/a')]), '1\n')
    await commitFiles(path, {})
    expect((await measureOwnership(path)).folders.map((found) => found.folder)).toEqual(['\\xe9t\\xe9'])
  })
})

describe('git.churn', () => {
  it('ranks files by changes times size, and leaves out what nobody changed again', async () => {
    const path = await emptyRepository()
    await commitFiles(path, { hot: 'x'.repeat(1_000), small: 'x', huge: 'x'.repeat(100_000) })
    for (const number of [1, 2, 3]) await commitFiles(path, { hot: String(number).repeat(1_000), small: String(number) })
    expect(await measureChurn(path)).toEqual({
      coverage: { commits: 4, truncated: false, shallow: false },
      filesChanged: 3,
      hotSpots: [
        { path: 'hot', changes: 4, size: 1_000, score: 1 },
        { path: 'small', changes: 4, size: 1, score: 0.001 },
      ],
    })
  })
})

it('a history of 5,000 commits is measured in full, with bounded answers, the same whatever way it is cut', async () => {
  const path = await emptyRepository('--bare')
  await fastImport(path, syntheticHistory(5_000))
  const [active, owned, hot] = await Promise.all([measureActivity(path), measureOwnership(path), measureChurn(path)])
  const numbers = (await plainGit(path, ['log', '--numstat', '--no-renames', '--format=']))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'))
  const sum = (column: number) => numbers.reduce((total, fields) => total + Number(fields[column]), 0)
  expect(active).toMatchObject({ coverage: { commits: 5_000 }, authorCount: 40, additions: sum(0), deletions: sum(1) })
  expect(active.hours.reduce((a, b) => a + b)).toBe(5_000)
  expect(owned.folders).toHaveLength(10)
  expect(owned.whole.holders.length).toBeLessThanOrEqual(10)
  expect(hot.filesChanged).toBe(2_000)
  const changes = numbers.filter(([, , file]) => file === hot.hotSpots[0]?.path).length
  expect(hot.hotSpots[0]?.changes).toBe(changes)
  expect(JSON.stringify([active, owned, hot]).length).toBeLessThan(100_000)
})

it('a measurement ends when the signal says so', async () => {
  const path = await emptyRepository('--bare')
  await fastImport(path, syntheticHistory(2_000))
  const stop = new AbortController()
  const running = activity.run(activity.input.parse({ repository: path }), contextFor('/', { signal: stop.signal }))
  setImmediate(() => stop.abort(new Error('stopped')))
  await expect(running).rejects.toThrow('stopped')
})
