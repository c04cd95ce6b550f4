import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { openPostgresJournal } from '@soma/ports/journal/postgres'
import { openPostgresLocks } from '@soma/ports/locks/postgres'
import { openFileSystemObjects } from '@soma/ports/objects/file-system'
import { openTestSql } from '@soma/ports/sql/testing'
import { afterAll, expect, test, vi } from 'vitest'
import { toSigningKey } from '../keys/keys.ts'
import { createRetentionWork } from './apply-retention.ts'
import { createLedger } from './ledger.ts'
import { createRedactions } from './redact.ts'
import { createRetention } from './retention.ts'
import { checkpointOfAll } from './testing.ts'
import { verifyLedger } from './verify-ledger.ts'

const key = toSigningKey(generateKeyPairSync('ed25519').privateKey)
const trust = { keys: [key.publicKey] }
const folder = await mkdtemp(join(tmpdir(), 'soma-redaction-'))
const sql = await openTestSql()
const journal = await openPostgresJournal(sql)
const objects = await openFileSystemObjects({ directory: folder })
const locks = await openPostgresLocks(sql)
const ledger = createLedger({ journal, sql, key, mostCovered: 20 })
const retention = createRetention(journal)
const redactions = createRedactions({ journal, objects, sql, retention })
const work = createRetentionWork({ journal, locks, retention, redactions })
afterAll(async () => {
  await locks.close()
  await objects.close()
  await journal.close()
  await sql.close()
  await rm(folder, { recursive: true })
})

const DAY = 86_400_000
const inDays = (days: number) => new Date(Date.now() + days * DAY)
const asked = { reason: 'asked for by its owner', by: 'user:ada' }

/** Resolves when the entry is settled: no older transaction runs any more. */
async function append(tenant: string, stream: string, payload: unknown, kind = 'note'): Promise<void> {
  const [entry] = await journal.append({ tenant, stream, expectedSeq: 'any', entries: [{ kind, payload }] })
  await vi.waitUntil(async () => BigInt(await journal.lastPosition()) >= BigInt(entry?.position ?? 0), { timeout: 20_000 })
}

const put = (tenant: string, text: string) => objects.put(tenant, new TextEncoder().encode(text), 'text/plain')

const all = (lines: AsyncIterable<string>): Promise<string[]> => Readable.from(lines).toArray()

async function exported(tenant: string): Promise<string[]> {
  await checkpointOfAll(journal, ledger, tenant)
  return all(ledger.exportAll(tenant))
}

test('a redacted entry keeps its place, says who took its content away and why, and everything still verifies', async () => {
  for (const text of ['a', 'private', 'c']) await append('plain', 's', { text })
  expect(await redactions.redact({ tenant: 'plain', stream: 's', seqs: [2], ...asked })).toEqual({ stream: 's', seqs: [2], objects: [] })
  const lines = await exported('plain')
  expect(await verifyLedger(lines, trust)).toMatchObject({ ok: true, redacted: 1 })
  expect(lines.join()).not.toContain('private')
  expect(lines.join()).toContain('"seqs":[2],"objects":[],"cause":"request","reason":"asked for by its owner","by":"user:ada"')
  const { rows } = await sql.platform.query("select payload, salt from journal.entries where tenant = 'plain' and stream = 's' and seq = 2")
  expect(rows).toEqual([{ payload: null, salt: null }])
})

test('whoever needs the content of a redacted entry is told what became of it; the others do not notice', async () => {
  const [entry] = await journal.read('plain', 's', { afterSeq: 1, limit: 1 })
  expect(entry).toMatchObject({ seq: 2, redacted: true })
  expect(JSON.parse(JSON.stringify(entry))).not.toHaveProperty('payload')
  expect(() => entry?.payload).toThrow(expect.objectContaining({ code: 'redacted', message: expect.stringContaining('entry 2 of s') }))
  expect((await journal.tail({ after: '0', tenant: 'plain', streamPrefix: 's' })).map(({ seq }) => seq)).toEqual([1, 3])
})

test('streams and single entries that were redacted verify as well', async () => {
  for (const lines of [await all(ledger.exportStreams('plain', ['s'])), await all(await ledger.exportEntry('plain', 's', 2))])
    expect(await verifyLedger(lines, trust)).toMatchObject({ ok: true, redacted: 1 })
})

test('content that is gone without a record of its redaction is found', async () => {
  const lines = await exported('plain')
  const stripped = lines.map((line) => (line.includes('"seq":3') ? line.replace(/,"salt".*$/, '}}') : line))
  expect((await verifyLedger(stripped, trust)).problems).toMatchObject([{ kind: 'content_missing', stream: 's', seq: 3 }])
})

test('redacting again changes nothing, and so does what is not there or is the ledger’s own', async () => {
  const again = { tenant: 'plain', stream: 's', seqs: [2], ...asked }
  expect(await redactions.redact(again)).toEqual({ stream: 's', seqs: [], objects: [] })
  await expect(redactions.redact({ ...again, seqs: [9] })).rejects.toMatchObject({ code: 'not_found' })
  await expect(redactions.redact({ ...again, tenant: 'other' })).rejects.toMatchObject({ code: 'not_found' })
  for (const stream of ['ledger', 'redacted/s'])
    await expect(redactions.redact({ ...again, stream, seqs: [1] })).rejects.toMatchObject({ code: 'conflict' })
})

test('objects go with the last entry that names them', async () => {
  const [shared, own] = [await put('objects', 'shared'), await put('objects', 'own')]
  await append('objects', 'a', { files: [shared, own] })
  await append('objects', 'b', { page: shared.digest })
  expect(await redactions.redact({ tenant: 'objects', stream: 'a', seqs: [1], ...asked })).toMatchObject({ objects: [own.digest] })
  expect(await objects.stat('objects', own.digest)).toBeUndefined()
  expect(await objects.stat('objects', shared.digest)).toBeDefined()
  expect(await redactions.redact({ tenant: 'objects', stream: 'b', seqs: [1], ...asked })).toMatchObject({ objects: [shared.digest] })
  expect(await objects.stat('objects', shared.digest)).toBeUndefined()
})

test('what a run that is not over needs stays', async () => {
  await append('runs', 'run/r1', { workflow: 'w' }, 'run.started')
  await append('runs', 'action/run/r1#1', { output: 1 }, 'action.completed')
  for (const stream of ['run/r1', 'action/run/r1#1'])
    await expect(redactions.redact({ tenant: 'runs', stream, seqs: [1], ...asked })).rejects.toMatchObject({ code: 'conflict' })
  await append('runs', 'run/r1', { output: 1 }, 'run.completed')
  for (const stream of ['run/r1', 'action/run/r1#1'])
    expect(await redactions.redact({ tenant: 'runs', stream, seqs: [1], ...asked })).toMatchObject({ seqs: [1] })
})

test('nothing under a legal hold goes, by hand or by rule, until it is lifted', async () => {
  await append('held', 'run/p1', { text: 'evidence' })
  await exported('held')
  const hold = await retention.placeHold('held', { streams: ['run/p1'], reason: 'case 7', by: 'user:grace' })
  const request = { tenant: 'held', stream: 'run/p1', seqs: [1], ...asked }
  await expect(redactions.redact(request)).rejects.toMatchObject({ code: 'conflict', message: expect.stringContaining('case 7') })
  await retention.setRules('held', [{ kind: '*', days: 1 }], 'user:ada')
  expect(await work.apply('held', { now: inDays(2), isDryRun: true })).toMatchObject({ redacted: {}, held: 1 })
  await expect(retention.liftHold('held', 'unknown', asked)).rejects.toMatchObject({ code: 'not_found' })
  await retention.liftHold('held', hold.id, asked)
  expect(await retention.holds('held')).toEqual([])
  await append('held', 'run/p1', {}, 'run.completed')
  expect(await redactions.redact(request)).toMatchObject({ seqs: [1] })
})

test('rules take away what is older than they say, what is not theirs stays, and the ledger verifies', async () => {
  for (let index = 0; index < 30; index++) {
    await append('ruled', `s${index % 4}`, { text: `note ${index}` }, 'note')
    await append('ruled', `s${index % 4}`, { text: `call ${index}` }, 'action.completed')
    await append('ruled', `s${index % 4}`, { text: `refusal ${index}` }, 'action.refused')
  }
  await exported('ruled')
  await retention.setRules(
    'ruled',
    [
      { kind: 'action.*', days: 30 },
      { kind: 'action.refused', days: 365 },
    ],
    'user:ada',
  )
  expect(await work.apply('ruled', { now: inDays(29) })).toMatchObject({ redacted: {} })
  const expected = { isDryRun: true, redacted: { 'action.completed': 30 }, held: 0, open: 0 }
  expect(await work.apply('ruled', { now: inDays(31), isDryRun: true })).toEqual(expected)
  expect(await verifyLedger(await exported('ruled'), trust)).toMatchObject({ ok: true, redacted: 0 })
  expect(await work.apply('ruled', { now: inDays(31) })).toEqual({ ...expected, isDryRun: false })
  expect(await work.apply('ruled', { now: inDays(31) })).toMatchObject({ redacted: {} })
  const lines = await exported('ruled')
  expect(await verifyLedger(lines, trust)).toMatchObject({ ok: true, redacted: 30 })
  expect(lines.join()).not.toContain('call ')
  expect(lines.filter((line) => line.includes('note ')).length).toBe(30)
})

test('what no checkpoint covers yet stays, however old it is', async () => {
  await append('unsigned', 's', { text: 'a' })
  await retention.setRules('unsigned', [{ kind: '*', days: 1 }], 'user:ada')
  expect(await work.apply('unsigned', { now: inDays(9) })).toMatchObject({ redacted: {} })
  await exported('unsigned')
  expect(await work.apply('unsigned', { now: inDays(9) })).toMatchObject({ redacted: { note: 1 } })
})

test('one process at a time applies the rules of a tenant', async () => {
  const lease = await locks.tryAcquire('ruled/retention', { ttlMilliseconds: 60_000 })
  expect(await work.apply('ruled')).toBeUndefined()
  await lease?.release()
  expect(await work.apply('ruled')).toBeDefined()
})

test('who set which rules and holds is in the ledger', async () => {
  const entries = await journal.read('held', 'retention')
  expect(entries.map(({ kind }) => kind)).toEqual(['ledger.hold_placed', 'ledger.retention_set', 'ledger.hold_lifted'])
  expect(entries.map(({ payload }) => (payload as { by: string }).by)).toEqual(['user:grace', 'user:ada', 'user:ada'])
  await expect(
    retention.setRules(
      'held',
      [
        { kind: 'a', days: 1 },
        { kind: 'a', days: 2 },
      ],
      'x',
    ),
  ).rejects.toMatchObject({ code: 'invalid_input' })
})

test('a crash before the content is gone leaves what the next redaction finishes', async () => {
  await append('crashed', 's', { text: 'private' })
  const broken = createRedactions({ journal: { ...journal, redact: () => Promise.reject(new Error('killed')) }, objects, sql, retention })
  const request = { tenant: 'crashed', stream: 's', seqs: [1], ...asked }
  await expect(broken.redact(request)).rejects.toThrow('killed')
  expect(await verifyLedger(await exported('crashed'), trust)).toMatchObject({ ok: true, redacted: 0 })
  expect(await redactions.redact(request)).toMatchObject({ seqs: [1] })
  expect(await verifyLedger(await exported('crashed'), trust)).toMatchObject({ ok: true, redacted: 1 })
})
