import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { endAll, type RunningProgram, runSoma, startSoma } from './testing.ts'

let cwd: string
let server: RunningProgram
let url: string
const env = { SOMA_LOG__LEVEL: 'warn' }
const soma = (...words: string[]) => runSoma(words, { cwd, env })
const json = async (...words: string[]) => {
  const { code, stdout, stderr } = await soma('--json', ...words)
  expect(stderr).toBe('')
  return { code, answer: JSON.parse(stdout) }
}

const rules = (id: string, more = '') => `apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: own, version: 1.0.0 }
rules:
  - id: ${id}
    says: Nobody looks at budgets here, because we say so.
    applies: { actions: [http.budgets.*] }
    decide: deny
tests:
  - { name: looking, input: { action: { name: http.budgets.list, effect: read } }, expect: { verdict: deny, rule: ${id} } }
${more}`

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'soma-rules-'))
  const wrong = '  - { name: writing, input: { action: { name: tool.files.write, effect: write } }, expect: { verdict: allow } }\n'
  await Promise.all([
    writeFile(join(cwd, 'rules.yaml'), rules('no-budgets')),
    writeFile(join(cwd, 'wrong.yaml'), rules('no-budgets', wrong)),
    writeFile(join(cwd, 'broken.yaml'), rules('No Budgets')),
  ])
})
afterAll(async () => {
  endAll()
  await server?.ended
  await rm(cwd, { recursive: true, force: true, maxRetries: 5 })
})

describe('without a server', () => {
  test('everything wrong is told with its line: exit code 1', async () => {
    expect((await soma('constitution', 'validate', 'rules.yaml')).stdout).toContain('valid  rules.yaml  1 rule, 1 test')
    const { code, stdout } = await soma('constitution', 'validate', 'rules.yaml', 'broken.yaml')
    expect(code).toBe(1)
    expect(stdout).toContain('  5:5  rules.0.id: A rule id is lower-case letters')
    expect((await json('constitution', 'validate', 'wrong.yaml')).answer).toMatchObject({
      valid: false,
      files: [{ problems: [{ line: 11, message: expect.stringContaining('Test "writing" expected allow') }] }],
    })
  })

  test('tests run, and one that fails says what came instead: exit code 1', async () => {
    expect(await json('constitution', 'test', 'rules.yaml')).toMatchObject({ code: 0, answer: { passed: 1, failed: 0 } })
    const { code, stdout } = await soma('constitution', 'test', 'wrong.yaml')
    expect(code).toBe(1)
    expect(stdout).toContain('  pass  looking')
    expect(stdout).toContain('  fail  writing\n        expected allow\n        but was  needs_approval by "outside-writes-need-approval"')
  })

  test('the platform’s own rules are checked as what stands on nothing', async () => {
    const file = new URL('../../policies/constitution.yaml', import.meta.url).pathname
    expect((await soma('constitution', 'test', '--no-base', file)).code).toBe(0)
  })
})

describe('with a server', () => {
  beforeAll(async () => {
    server = startSoma(['start', '--port', '0', '--json'], { cwd, env })
    url = JSON.parse(await server.firstLine).url
  }, 240_000)

  test('rules are previewed, proposed, published and brought back, and decide in between', async () => {
    expect((await soma('budgets')).code).toBe(0)
    expect((await soma('constitution', 'diff', 'rules.yaml')).stdout).toContain('+ no-budgets')
    await expect
      .poll(async () => (await json('constitution', 'preview', 'rules.yaml')).answer.changed)
      .toEqual([{ from: 'allow', to: 'deny', count: 1 }])
    expect((await soma('constitution', 'preview', 'rules.yaml')).stdout).toContain('by no-budgets: Nobody looks at budgets here')
    const { answer: proposal } = await json('constitution', 'propose', 'rules.yaml', '--note', 'A test.')
    expect((await soma('budgets')).code).toBe(0)
    expect(await json('constitution', 'publish', proposal.id)).toMatchObject({ code: 0, answer: { version: 1, review: 'alone' } })
    expect((await soma('budgets')).code).toBe(4)

    await writeFile(
      join(cwd, 'other.yaml'),
      rules('other-budgets').replace('decide: deny', 'decide: needs_approval').replace('verdict: deny', 'verdict: needs_approval'),
    )
    const { answer: second } = await json('constitution', 'propose', 'other.yaml', '--note', 'Milder.')
    await json('constitution', 'publish', second.id)
    expect(await json('constitution', 'rollback', '1', '--emergency', 'The milder ones are wrong.')).toMatchObject({
      answer: { version: 3, rollbackTo: 1, review: 'emergency' },
    })
    const { stdout } = await soma('constitution', 'versions')
    expect(stdout).toContain('brings back version 1, in an emergency: The milder ones are wrong.')
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })

  test('once there is another person, that one must publish, and not the proposer by another key', async () => {
    const key = (await readFile(join(cwd, '.soma/admin.key'), 'utf8')).trim()
    const call = async (path: string, body: unknown) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
      return (await fetch(`${url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).json() as Promise<
        Record<string, string>
      >
    }
    await writeFile(join(cwd, 'third.yaml'), rules('third-budgets'))
    const { answer: proposal } = await json('constitution', 'propose', 'third.yaml', '--note', 'A test.')
    const { token } = await call('/v1/invitations', { email: 'bob@example.org', roles: ['administrator'] })
    const bob = await call('/v1/invitations/accept', { token, password: 'a long enough password' })
    const { key: ownKey } = await call('/v1/api-keys', { name: 'mine', capabilities: ['*'] })
    const { code, stderr } = await runSoma(['constitution', 'publish', proposal.id], {
      cwd,
      env: { ...env, SOMA_API_KEY: ownKey as string },
    })
    expect(code).toBe(4)
    expect(stderr).toContain('proposed this, so another person who holds constitution.publish must publish it')
    const publishing = { cwd, env: { ...env, SOMA_API_KEY: bob.accessToken as string } }
    const { stdout } = await runSoma(['--json', 'constitution', 'publish', proposal.id], publishing)
    expect(JSON.parse(stdout)).toMatchObject({ review: 'two people', publishedBy: `user:${bob.userId}` })
  })

  test('explaining names the rule, the condition and the fact', async () => {
    const { stdout } = await soma('policy', 'explain', 'tool.http.get', '--as', 'agent', '--holds', 'tool.*', '--resource', 'host=10.0.0.7')
    expect(stdout).toContain('✓ private-networks-are-closed deny')
    expect(stdout).toContain('✓ action.resource.host = "10.0.0.7"; in_network')
    expect(stdout).toContain('✗ action.resource.region = missing; exists')
    expect(await json('policy', 'evaluate', 'tool.git.commit', '--effect', 'write', '--resource', 'kind=repository')).toMatchObject({
      answer: { verdict: 'needs_approval', score: 0.5, reasons: [{ rule: 'repository-writes-need-approval' }] },
    })
  })
})
