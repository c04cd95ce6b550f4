import { generateKeyPairSync } from 'node:crypto'
import { Readable } from 'node:stream'
import type { Journal } from '@soma/ports/journal/port'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { toSigningKey } from '../keys/keys.ts'
import type { Checkpoint } from './checkpoint.ts'
import type { LedgerRange } from './export-ledger.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { type LedgerLine, type LedgerProof, readLine, writeLine } from './ledger-line.ts'
import { checkpointOfAll } from './testing.ts'
import { verifyLedger } from './verify-ledger.ts'

const key = toSigningKey(generateKeyPairSync('ed25519').privateKey)
const otherKey = toSigningKey(generateKeyPairSync('ed25519').privateKey)
const trust = { keys: [key.publicKey] }

let sql: Awaited<ReturnType<typeof openTestSql>>
let journal: Journal
let second: Journal
let ledger: Ledger
/** Signs after every five entries, so that small ledgers have many checkpoints. */
let small: Ledger
beforeAll(async () => {
  sql = await openTestSql()
  journal = await openPostgresJournal(sql)
  second = await openPostgresJournal(sql)
  ledger = createLedger({ journal, sql, key })
  small = createLedger({ journal, sql, key, mostCovered: 5 })
})
afterAll(async () => {
  await journal.close()
  await second.close()
  await sql.close()
})

const note = (tenant: string, stream: string, text = 'x', kind = 'note') =>
  journal.append({
    tenant,
    stream,
    expectedSeq: 'any',
    entries: [{ kind, payload: { text, '10': 1, '9': [null, -0, 1e21, 'ü\u0000"\\'] } }],
  })

const signed = (from: Ledger, tenant: string) => checkpointOfAll(journal, from, tenant)

async function fill(tenant: string, entries: number, streams = 3): Promise<void> {
  for (let index = 0; index < entries; index++) await note(tenant, `s${index % streams}`, String(index))
}

const linesOf = (lines: AsyncIterable<string>): Promise<string[]> => Readable.from(lines).toArray()

const read = (lines: readonly string[]) => lines.map((line) => readLine(line) as LedgerLine)

test('what was exported is verified, with the keys of the export and with the key one knows', async () => {
  await fill('whole', 23)
  const checkpoint = await signed(small, 'whole')
  const lines = await linesOf(small.exportAll('whole'))
  for (const keys of [undefined, [key.publicKey], [otherKey.publicKey, key.publicKey]]) {
    const verdict = await verifyLedger(lines, { keys, known: checkpoint })
    expect(verdict).toMatchObject({ ok: true, tenant: 'whole', problems: [], redacted: 0, withheld: 0 })
    expect(verdict.entries).toBe(lines.filter((line) => line.startsWith('{"entry"')).length)
    expect(verdict.entries).toBeGreaterThanOrEqual(23)
    expect(verdict.checkpoints).toBeGreaterThan(4)
    expect(verdict.through).toMatchObject({ through: checkpoint.through, at: checkpoint.at, keyId: key.id })
  }
  expect(await verifyLedger(lines, { keys: [otherKey.publicKey] })).toMatchObject({ ok: false })
})

test('an empty ledger is one', async () => {
  expect(await ledger.checkpoint('empty')).toBeUndefined()
  expect(await ledger.head('empty')).toBeUndefined()
  const verdict = await verifyLedger(await linesOf(ledger.exportAll('empty')))
  expect(verdict).toMatchObject({ ok: true, entries: 0 })
  expect(verdict.through).toBeUndefined()
})

test('signing again without news signs nothing', async () => {
  await fill('quiet', 3)
  const first = await signed(ledger, 'quiet')
  const signatures = await journal.read('quiet', 'ledger')
  for (let count = 0; count < 3; count++) expect(await ledger.checkpoint('quiet')).toEqual(first)
  expect(await journal.read('quiet', 'ledger')).toEqual(signatures)
  expect((await ledger.head('quiet'))?.checkpoint).toEqual(first)
})

test('every tenant’s ledger is signed in turn, and one without news not again', async () => {
  const turns = createLedger({ journal, sql, key })
  await fill('turn-a', 2)
  await fill('turn-b', 2)
  const signatures = async () => [(await journal.read('turn-a', 'ledger')).length, (await journal.read('turn-b', 'ledger')).length]
  const untilSigned = (expected: number[]) =>
    vi.waitUntil(
      async () => {
        await turns.checkpointAll()
        return JSON.stringify(await signatures()) === JSON.stringify(expected)
      },
      { timeout: 20_000 },
    )
  await untilSigned([1, 1])
  await note('turn-b', 's0')
  await untilSigned([1, 2])
})

test('many who sign at once, in two processes, make one chain', async () => {
  await fill('together', 30)
  await signed(small, 'together')
  const elsewhere = createLedger({ journal: second, sql, key, mostCovered: 5 })
  for (let round = 0; round < 3; round++) {
    await fill('together', 12)
    await Promise.all(Array.from({ length: 6 }, (_, index) => (index % 2 ? small : elsewhere).checkpoint('together')))
  }
  await signed(small, 'together')
  expect(await verifyLedger(await linesOf(small.exportAll('together')))).toMatchObject({ ok: true })
})

test('an export is of one moment: what is appended and signed meanwhile does not break it', async () => {
  await fill('moving', 20)
  await signed(small, 'moving')
  const lines: string[] = []
  for await (const line of small.exportAll('moving')) {
    if (lines.length % 7 === 0) {
      await note('moving', 's0')
      await small.checkpoint('moving')
    }
    lines.push(line)
  }
  expect(await verifyLedger(lines)).toMatchObject({ ok: true })
})

test('what is no ledger is told so, line by line', async () => {
  const none = { ok: false, problems: [{ kind: 'not_a_ledger', message: 'The first line is not the header of a ledger.' }] }
  expect(await verifyLedger([])).toMatchObject(none)
  expect(await verifyLedger(['text', '{}'])).toMatchObject(none)
  const [header] = (await linesOf(ledger.exportAll('empty'))) as [string]
  const nonsense = ['text', 'null', '7', '{"entry":{"seq":"one"}}', '{"entry":{}}', '{}', '', header]
  const verdict = await verifyLedger([header, ...nonsense])
  expect(verdict.problems.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 9])
  expect((await verifyLedger([header, ...new Array(1000).fill('{}')])).problems).toHaveLength(100)
})

describe('a range', () => {
  const range = (query: LedgerRange) => linesOf(small.exportAll('ranged', query))
  let checkpoints: Checkpoint[]
  let whole: string[]
  beforeAll(async () => {
    for (let index = 0; index < 60; index++) await note('ranged', `s${index % 7}`, String(index), index % 3 ? 'note' : 'action.completed')
    await signed(small, 'ranged')
    whole = await range({})
    checkpoints = read(whole).flatMap((line) => ('checkpoint' in line ? line.checkpoint : []))
  })

  test('begins behind a checkpoint and is verified without what came before', async () => {
    const { through, at } = checkpoints[3] as Checkpoint
    const verdict = await verifyLedger(await range({ after: through }), { ...trust, known: checkpoints[3] })
    expect(verdict).toMatchObject({ ok: true, after: { through, at }, checkpoints: checkpoints.length - 4 })
  })

  test('appended to what came before it, it is the whole', async () => {
    const middle = whole.findIndex((line) => line.includes(`"through":"${checkpoints[3]?.through}"`)) + 1
    const [, ...rest] = await range({ after: checkpoints[3]?.through })
    expect([...whole.slice(0, middle), ...rest]).toEqual(whole)
  })

  test('between two times holds every entry of that time', async () => {
    const entries = read(whole).flatMap((line) => ('entry' in line ? line.entry : []))
    const [from, to] = [entries[20]?.at as string, entries[40]?.at as string]
    const lines = await range({ since: from, until: to })
    expect(await verifyLedger(lines, trust)).toMatchObject({ ok: true })
    const exported = new Set(read(lines).flatMap((line) => ('entry' in line ? line.entry.hash : [])))
    expect(entries.filter(({ at }) => at >= from && at <= to).every(({ hash }) => exported.has(hash))).toBe(true)
    expect(exported.size).toBeLessThan(entries.length)
  })

  test('of some kinds has their content alone, and proves that none of them is missing', async () => {
    const lines = await range({ kinds: ['action.*'] })
    expect(await verifyLedger(lines, trust)).toMatchObject({ ok: true, withheld: 40, redacted: 0 })
    expect(lines.join('\n')).not.toContain('"kind":"note","at":"2026-01-01","payload"')
    const stripped = lines.map((line) => (line.includes('"action.completed"') ? line.replace(/,"salt".*$/, '}}') : line))
    expect((await verifyLedger(stripped, trust)).problems[0]).toMatchObject({ kind: 'content_missing' })
  })

  test('of nothing is empty, and says where it stands', async () => {
    const { through } = checkpoints.at(-1) as Checkpoint
    expect(await verifyLedger(await range({ after: through }), trust)).toMatchObject({ ok: true, entries: 0, through: { through } })
  })

  test('a known checkpoint finds a cut, an older export, and another history signed by the same key', async () => {
    const known = checkpoints.at(-1) as Checkpoint
    const cut = read(whole).findIndex((line) => 'checkpoint' in line && line.checkpoint.through === checkpoints[5]?.through) + 1
    const older = [...whole.slice(0, cut), writeLine({ end: { through: checkpoints[5]?.through as string } })]
    expect(await verifyLedger(older, trust)).toMatchObject({ ok: true, through: { through: checkpoints[5]?.through } })
    expect((await verifyLedger(older, { ...trust, known })).problems).toMatchObject([{ kind: 'cut_off', position: known.through }])
    expect((await verifyLedger(whole.slice(0, cut), trust)).problems).toMatchObject([{ kind: 'cut_off' }])
    const rewritten = { ...known, root: 'ab'.repeat(32) }
    expect((await verifyLedger(whole, { ...trust, known: rewritten })).problems).toMatchObject([{ kind: 'other_history' }])
    const late = await range({ after: checkpoints[5]?.through })
    expect((await verifyLedger(late, { ...trust, known: checkpoints[2] })).problems).toMatchObject([{ kind: 'other_history' }])
  })
})

describe('streams and single entries', () => {
  let streams: string[]
  let entry: string[]
  beforeAll(async () => {
    await fill('parts', 60, 6)
    await signed(small, 'parts')
    streams = await linesOf(small.exportStreams('parts', ['s1', 's4', 's1', 'none']))
    entry = await linesOf(await small.exportEntry('parts', 's4', 3))
  })

  test('are verified by their proofs, without the rest', async () => {
    expect(await verifyLedger(streams, trust)).toMatchObject({ ok: true, scope: 'streams', streams: 2, entries: 20 })
    expect(await verifyLedger(entry, trust)).toMatchObject({ ok: true, scope: 'entries', streams: 1, entries: 1, checkpoints: 1 })
    expect(streams.filter((line) => line.startsWith('{"proof"'))).toHaveLength(2)
  })

  test('end where the ledger is signed', async () => {
    await note('parts', 's2', 'newer')
    expect(await verifyLedger(await linesOf(small.exportStreams('parts', ['s2'])), trust)).toMatchObject({ ok: true, entries: 10 })
    await expect(small.exportEntry('parts', 's2', 11)).rejects.toMatchObject({ code: 'conflict' })
    await expect(small.exportEntry('parts', 's2', 12)).rejects.toMatchObject({ code: 'not_found' })
    await signed(small, 'parts')
    expect(await verifyLedger(await linesOf(small.exportStreams('parts', ['s2'])), trust)).toMatchObject({ ok: true, entries: 11 })
  })

  const forgedProofs: [string, (proof: LedgerProof) => Partial<LedgerProof>][] = [
    ['another place', ({ index }) => ({ index: index ^ 1 })],
    ['another sibling', ({ path }) => ({ path: path.with(0, 'ab'.repeat(32)) })],
    ['a shorter path', ({ path }) => ({ path: path.slice(0, -1) })],
    ['another stream', ({ stream }) => ({ stream: stream === 's1' ? 's4' : 's1' })],
    ['another entry', ({ seq }) => ({ seq: seq - 1 })],
    ['another checkpoint', () => ({ through: '1' })],
  ]
  test.each(forgedProofs)('a proof with %s is refused', async (_, forge) => {
    for (const lines of [streams, entry]) {
      const forged = read(lines).map((line) => writeLine('proof' in line ? { proof: { ...line.proof, ...forge(line.proof) } } : line))
      const { problems } = await verifyLedger(forged, trust)
      expect(problems.map(({ kind }) => kind)).toContain('proof_wrong')
    }
  })

  test('a missing proof, checkpoint or end of a stream is found', async () => {
    const without = (lines: string[], start: string) => {
      const place = lines.findLastIndex((line) => line.startsWith(start))
      return lines.toSpliced(place, 1)
    }
    for (const lines of [streams, entry]) {
      expect((await verifyLedger(without(lines, '{"proof"'), trust)).problems.map(({ kind }) => kind)).toContain('not_signed')
      expect((await verifyLedger(without(lines, '{"checkpoint"'), trust)).problems.map(({ kind }) => kind)).toContain('proof_wrong')
      expect((await verifyLedger(without(lines, '{"entry"'), trust)).problems.map(({ kind }) => kind)).toContain('proof_wrong')
      expect((await verifyLedger(without(lines, '{"end"'), trust)).problems.map(({ kind }) => kind)).toContain('cut_off')
    }
  })

  test('content that was changed is found', async () => {
    for (const lines of [streams, entry]) {
      const changed = lines.map((line) => line.replace('"text":"', '"text":"not '))
      expect((await verifyLedger(changed, trust)).problems[0]).toMatchObject({ kind: 'content_changed', line: 2 })
    }
  })
})
