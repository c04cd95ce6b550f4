import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createSigningKey } from '@soma/capsule/signature'
import { toSigningKey } from '@soma/kernel/keys/keys'
import { makeLedger, written } from '@soma/kernel/ledger/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { endAll, runSoma } from './testing.ts'

let cwd: string
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'soma-cli-'))
})
afterAll(() => {
  endAll()
  return rm(cwd, { recursive: true, force: true })
})
const soma = (...words: string[]) => runSoma(words, { cwd })
const json = async (...words: string[]) => {
  const { code, stdout, stderr } = await soma('--json', ...words)
  expect(stderr).toBe('')
  return { code, answer: JSON.parse(stdout) }
}

describe('help', () => {
  test('fits 80 columns, and every command has its own with what it takes', async () => {
    const { code, stdout } = await soma('--help')
    expect(code).toBe(0)
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
    const { stdout: create } = await soma('help', 'project', 'create')
    expect(create).toContain('--template <name>')
  })

  test.each([
    [['bogus'], "Unknown command 'bogus'"],
    [['run', 'x', '--bogus'], "Unknown option '--bogus'"],
    [['approve'], "Missing required argument 'id'"],
    [['kill', 'tool', 'git'], 'Say why with --reason'],
    [['kill', 'planet', '--reason', 'x'], '"planet" is none of them'],
    [['project', 'create'], 'Name a plan template'],
    [['start', '--port', 'http'], '--port must be a number'],
  ])('%j is wrong usage: exit code 2 and a sentence', async (words, sentence) => {
    const { code, stderr, stdout } = await soma(...words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(sentence)
    expect(stderr).not.toContain('    at ')
  })
})

describe('without a server', () => {
  test('what needs one says how to start it: exit code 3', async () => {
    expect(await json('project', 'list')).toEqual({
      code: 3,
      answer: {
        error: {
          code: 'dependency_unavailable',
          message: expect.stringContaining('Start it with: npm start'),
          details: { data: join(cwd, '.soma') },
        },
      },
    })
  })

  test('an address where nobody listens is exit code 3, one that is none 1, and no key is shown to strangers', async () => {
    const away = await runSoma(['--url', 'http://127.0.0.1:9', 'tool', 'list'], { cwd, env: { SOMA_API_KEY: 'soma_x' } })
    expect(away).toMatchObject({ code: 3, stderr: expect.stringContaining('http://127.0.0.1:9 can not be reached') })
    expect(await soma('--url', 'localhost', 'tool', 'list')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('http://127.0.0.1:8000'),
    })
    await writeFile(join(cwd, 'admin.key'), 'soma_secret')
    expect(await soma('--url', 'http://example.org', '--data', cwd, 'tool', 'list')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('set SOMA_API_KEY'),
    })
  })

  test('an unknown setting is refused with the nearest name', async () => {
    const { code, stderr } = await runSoma(['start'], { cwd, env: { SOMA_PROT: '1' } })
    expect(code).toBe(1)
    expect(stderr).toBe(
      'error unknown_configuration_key: The variable SOMA_PROT (from the environment) is not a setting. Did you mean SOMA_PORT?\n',
    )
  })
})

describe('capsules', () => {
  test('init writes one that holds and whose test passes', async () => {
    expect(await json('capsule', 'init', 'hello')).toEqual({ code: 0, answer: { file: 'hello.capsule.yaml' } })
    expect(await json('capsule', 'validate', 'hello.capsule.yaml')).toMatchObject({
      code: 0,
      answer: { valid: true, capsules: [{ capsule: 'hello@0.1.0', digest: expect.stringMatching(/^sha256:/) }] },
    })
    expect(await json('capsule', 'test', 'hello.capsule.yaml')).toMatchObject({ code: 0, answer: { passed: 1, failed: 0 } })
    expect(await json('capsule', 'init', 'hello')).toMatchObject({ code: 1, answer: { error: { code: 'conflict' } } })
    expect(await json('capsule', 'init', 'No Name')).toMatchObject({ code: 2 })
  })

  test.each([
    ['cyclic', 'steps:\n  - { id: a, needs: [b], value: 1 }\n  - { id: b, needs: [a], value: 1 }\n', /circle/],
    ['an unknown tool', 'permissions: { tools: [git.lgo] }\nsteps:\n  - { id: a, tool: git.lgo }\n', /git\.log/],
    ['an expression that does not parse', 'steps:\n  - { id: a, value: "${{ 1 + }}" }\n', /broken\.capsule\.yaml:\d+:\d+/],
  ])('%s: exit code 1, with file, line and column', async (_, steps, words) => {
    const head =
      'apiVersion: soma.dev/v1\nkind: Capsule\nmetadata: { name: broken, version: 1.0.0, summary: S }\noutputs: { value: null }\n'
    await writeFile(join(cwd, 'broken.capsule.yaml'), head + steps)
    const { code, stdout } = await soma('capsule', 'validate', 'broken.capsule.yaml')
    expect(code).toBe(1)
    expect(stdout).toMatch(words)
  })

  test('what is no text, and what is not there, is said', async () => {
    await writeFile(join(cwd, 'bytes.yaml'), Buffer.from([0xff, 0xfe, 0x00]))
    expect(await soma('capsule', 'validate', 'bytes.yaml')).toMatchObject({ code: 1, stdout: expect.stringContaining('is not UTF-8') })
    expect(await soma('capsule', 'validate', 'missing.yaml')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('There is no file missing.yaml'),
    })
  })

  test('a test that fails says where: exit code 1', async () => {
    const text = await readFile(join(cwd, 'hello.capsule.yaml'), 'utf8')
    await writeFile(join(cwd, 'wrong.capsule.yaml'), text.replace('expect: { commits: 3', 'expect: { commits: 4'))
    expect(await soma('capsule', 'test', 'wrong.capsule.yaml')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('"commits" must be 4, but is 3.'),
    })
  })

  test('a key of ours signs beside the file, and what is no key is refused', async () => {
    const { privateKey, keyId } = createSigningKey()
    await writeFile(join(cwd, 'mine.pem'), privateKey)
    const { code, answer } = await json('capsule', 'sign', 'hello.capsule.yaml', '--key', 'mine.pem')
    expect(code).toBe(0)
    expect(answer.signatures).toMatchObject([{ keyId }])
    expect(JSON.parse(await readFile(join(cwd, answer.file), 'utf8')).digest).toBe(answer.digest)
    await writeFile(join(cwd, 'no.pem'), 'no key')
    expect(await json('capsule', 'sign', 'hello.capsule.yaml', '--key', 'no.pem')).toMatchObject({
      code: 1,
      answer: { error: { code: 'invalid_input' } },
    })
  })
})

describe('audit verify of a file', () => {
  const key = toSigningKey(generateKeyPairSync('ed25519').privateKey)
  const ledger = makeLedger({ entries: 20, streams: 3, covered: 10, key })
  const lines = written(ledger)
  const text = (changed: readonly string[]) => `${changed.join('\n')}\n`

  test('the file as it was exported is valid, and what can not be known is said', async () => {
    await writeFile(join(cwd, 'good.jsonl'), text(lines))
    expect(await json('audit', 'verify', 'good.jsonl')).toMatchObject({ code: 0, answer: { ok: true, entries: 20, checkpoints: 2 } })
    expect((await soma('audit', 'verify', 'good.jsonl')).stdout.replace(/\s+/g, ' ')).toContain('a file alone can not tell')
  })

  test('a changed entry is found, with its line: exit code 1', async () => {
    await writeFile(join(cwd, 'bad.jsonl'), text(lines.map((line, number) => (number === 4 ? line.replace('git.log', 'git.tag') : line))))
    const { code, stdout } = await soma('audit', 'verify', 'bad.jsonl')
    expect(code).toBe(1)
    expect(stdout).toContain('NOT VALID')
    expect(stdout.replace(/\s+/g, ' ')).toContain('Line 5: The content of entry 2 of run/1 was changed')
  })

  test('a checkpoint and a key that were seen before find an end that was cut off, and another’s signature', async () => {
    const [cut, newest] = [10, 20].map((entries) => lines.findIndex((line) => line.includes(`"through":"${entries * 3}"`)))
    const { checkpoint } = JSON.parse(lines[newest as number] as string)
    await writeFile(join(cwd, 'known.json'), JSON.stringify({ checkpoint, keys: [{ id: key.id, publicKey: key.publicKey }] }))
    await writeFile(join(cwd, 'cut.jsonl'), text([...lines.slice(0, (cut as number) + 1), '{"end":{"through":"30"}}']))
    expect((await json('audit', 'verify', 'cut.jsonl')).code).toBe(0)
    expect(await json('audit', 'verify', 'good.jsonl', '--known', 'known.json')).toMatchObject({ code: 0 })
    expect(await json('audit', 'verify', 'cut.jsonl', '--known', 'known.json')).toMatchObject({
      code: 1,
      answer: { problems: [{ kind: 'cut_off' }] },
    })
    await writeFile(join(cwd, 'other.pem'), toSigningKey(generateKeyPairSync('ed25519').privateKey).publicKey)
    expect(await json('audit', 'verify', 'good.jsonl', '--key', 'other.pem')).toMatchObject({
      code: 1,
      answer: { problems: [{ kind: 'wrong_signature' }, { kind: 'wrong_signature' }, { kind: 'not_signed' }] },
    })
  })

  test.each([
    ['what is no ledger', 'hello\n'],
    ['an empty file', ''],
  ])('%s is not valid', async (_, text) => {
    await writeFile(join(cwd, 'other.jsonl'), text)
    expect(await json('audit', 'verify', 'other.jsonl')).toMatchObject({ code: 1, answer: { ok: false } })
  })
})

test('demo says what is no folder before it starts anything', async () => {
  expect(await json('demo', '--once', '--repository', '/no/such/place')).toMatchObject({
    code: 1,
    answer: { error: { code: 'not_a_repository', message: expect.stringContaining('does not exist') } },
  })
})

test('a reader that leaves early is no mistake', async () => {
  const program = join(import.meta.dirname, 'bin/soma.mjs')
  const { stderr } = await promisify(execFile)('sh', ['-c', `"${process.execPath}" "${program}" project --help | head -1`], { cwd })
  expect(stderr).toBe('')
})
