import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { endAll, type RunningProgram, runSoma, startSoma } from './testing.ts'

let cwd: string
let server: RunningProgram
const env = { SOMA_LOG__LEVEL: 'warn' }
const soma = (...words: string[]) => runSoma(words, { cwd, env })
const json = async (...words: string[]) => {
  const { code, stdout, stderr } = await soma('--json', ...words)
  expect(stderr).toBe('')
  return { code, answer: JSON.parse(stdout) }
}
const linesOf = async (file: string) => (await readFile(join(cwd, file), 'utf8')).trim().split('\n')
const verify = (file: string, ...more: string[]) => json('audit', 'verify', file, ...more)

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'soma-audit-'))
  server = startSoma(['start', '--port', '0', '--json'], { cwd, env })
  await server.firstLine
  for (const path of ['a.txt', 'b.txt', 'c.txt'])
    await json('tool', 'call', 'files.write', '--input', `path=${path}`, '--input', 'content=the owner wants this gone')
}, 240_000)
afterAll(async () => {
  endAll()
  await server?.ended
  await rm(cwd, { recursive: true, force: true, maxRetries: 5 })
})

/** Where the content of the file is in the ledger. */
async function places(): Promise<{ stream: string; seq: number }[]> {
  await json('audit', 'export', '--output', 'all.jsonl')
  return (await linesOf('all.jsonl')).filter((line) => line.includes('the owner wants')).map((line) => JSON.parse(line).entry)
}

test('an export that is gone on with is the whole ledger, also after an interruption', async () => {
  expect((await json('audit', 'export', '--output', 'ledger.jsonl')).code).toBe(0)
  const before = (await linesOf('ledger.jsonl')).length
  await json('tool', 'list')
  expect((await json('audit', 'export', '--output', 'ledger.jsonl', '--continue')).code).toBe(0)
  const after = (await linesOf('ledger.jsonl')).length
  expect(after).toBeGreaterThan(before)
  expect(await verify('ledger.jsonl')).toMatchObject({ code: 0, answer: { ok: true } })
  // In the midst of its last line but one.
  await truncate(join(cwd, 'ledger.jsonl'), Buffer.byteLength((await linesOf('ledger.jsonl')).slice(0, -2).join('\n')) - 20)
  expect(await verify('ledger.jsonl')).toMatchObject({ code: 1 })
  expect((await json('audit', 'export', '--output', 'ledger.jsonl', '--continue')).code).toBe(0)
  expect(await verify('ledger.jsonl')).toMatchObject({ code: 0, answer: { ok: true } })
  expect((await linesOf('ledger.jsonl')).length).toBeGreaterThanOrEqual(after)
})

test('what the server said once is found again in every later export', async () => {
  const { answer } = await json('audit', 'head')
  await writeFile(join(cwd, 'known.json'), JSON.stringify(answer))
  await json('tool', 'list')
  await json('audit', 'export', '--output', 'later.jsonl')
  expect(await verify('later.jsonl', '--known', 'known.json')).toMatchObject({ code: 0, answer: { ok: true } })
})

test('of a kind alone its content comes, and the export says what it left out', async () => {
  await json('audit', 'export', '--output', 'gate.jsonl', '--kind', 'gate.decided', '--since', '2020-01-01')
  const { code, answer } = await verify('gate.jsonl')
  expect({ code, hasLeftOut: answer.withheld > 0 }).toEqual({ code: 0, hasLeftOut: true })
  expect((await linesOf('gate.jsonl')).some((line) => line.includes('the owner wants'))).toBe(false)
})

test('one entry is proven, before and after its content was taken away, which then is nowhere', async () => {
  const [first, ...others] = await places()
  const { stream, seq } = first as { stream: string; seq: number }
  expect((await json('audit', 'prove', stream, String(seq), '--output', 'proof.jsonl')).code).toBe(0)
  expect(await verify('proof.jsonl')).toMatchObject({ code: 0, answer: { scope: 'entries', entries: 1, redacted: 0 } })
  expect((await json('audit', 'redact', stream, String(seq))).code).toBe(2)
  expect(await json('audit', 'redact', stream, String(seq), '--reason', 'the owner asked')).toMatchObject({
    answer: { stream, seqs: [seq] },
  })
  await json('audit', 'prove', stream, String(seq), '--output', 'proof.jsonl')
  expect(await verify('proof.jsonl')).toMatchObject({ code: 0, answer: { entries: 2, redacted: 1 } })
  expect(await places()).toHaveLength(others.length)
  expect(await verify('all.jsonl')).toMatchObject({ code: 0, answer: { ok: true, redacted: 1 } })
})

test('rules are set, shown and tried; a hold keeps what they would take', async () => {
  expect(await json('audit', 'retention', '--set', 'action.*=30', '--set', 'gate.decided=7')).toMatchObject({
    answer: {
      rules: [
        { kind: 'action.*', days: 30 },
        { kind: 'gate.decided', days: 7 },
      ],
    },
  })
  expect(await json('audit', 'retention', '--dry-run')).toMatchObject({ answer: { isDryRun: true, redacted: {} } })
  expect(await json('audit', 'retention', '--apply')).toMatchObject({ answer: { isDryRun: false, redacted: {} } })
  expect((await json('audit', 'retention', '--set', 'action')).code).toBe(2)
  expect(await json('audit', 'retention', '--clear')).toMatchObject({ answer: { rules: [] } })
  const [place] = await places()
  const { answer: hold } = await json('audit', 'hold', '--stream', 'action/', '--reason', 'case 7')
  expect((await json('audit', 'hold')).answer).toMatchObject([{ id: hold.id, reason: 'case 7' }])
  expect(await json('audit', 'redact', place?.stream as string, String(place?.seq), '--reason', 'asked')).toMatchObject({
    code: 1,
    answer: { error: { code: 'conflict' } },
  })
  expect((await json('audit', 'hold', '--lift', hold.id, '--reason', 'closed')).code).toBe(0)
  expect((await json('audit', 'hold')).answer).toEqual([])
})
