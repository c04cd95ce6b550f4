import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { capsuleTemplate } from './capsule-template.ts'
import { endAll, type RunningProgram, runSoma, startSoma } from './testing.ts'

let cwd: string
let server: RunningProgram
let started: { url: string; data: string; adminKey: string; pid: number }
const env = { SOMA_LOG__LEVEL: 'warn' }
const soma = (...words: string[]) => runSoma(words, { cwd, env })
const json = async (...words: string[]) => {
  const { code, stdout, stderr } = await soma('--json', ...words)
  expect(stderr).toBe('')
  return { code, answer: JSON.parse(stdout) }
}

/** A capsule that asks a person, and a plan of two deliverables of which policy stops one. */
const ASKING = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: asking, version: 1.0.0, summary: Asks }
outputs: { value: { by: "\${{ steps.ask.by }}" } }
steps:
  - { id: ask, approval: { message: "Go on?" } }
`
const PATIENT = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: patient, version: 1.0.0, summary: Asks for a second }
outputs: { value: 1 }
steps:
  - { id: ask, approval: { message: "Go on at once?", expiresSeconds: 1 } }
`
const PLAN = `apiVersion: soma.dev/v1
kind: Plan
metadata: { name: small, summary: Two deliverables }
deliverables:
  - { id: made, title: Made, persona: a.v1, tools: [], budget_tokens: 0, capsule: counting@1.0.0, inputs: { to: 3 } }
  - { id: stopped, title: Stopped, persona: a.v1, tools: [], budget_tokens: 0, capsule: counting@1.0.0, inputs: { to: 1 }, effect: destructive, resource: { kind: repository } }
  - { id: asked, title: Asked, persona: a.v1, tools: [], budget_tokens: 0, capsule: counting@1.0.0, inputs: { to: 2 }, effect: write, resource: { kind: repository } }
`
const COUNTING = `apiVersion: soma.dev/v1
kind: Capsule
metadata: { name: counting, version: 1.0.0, summary: Counts }
inputs: { type: object, required: [to], properties: { to: { type: integer } } }
outputs: { value: { sum: "\${{ steps.sum }}" } }
steps:
  - { id: sum, value: "\${{ inputs.to + 1 }}" }
`

beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'soma-server-'))
  await Promise.all(
    Object.entries({
      'asking.yaml': ASKING,
      'patient.yaml': PATIENT,
      'counting.yaml': COUNTING,
      'plan.yaml': PLAN,
      'hello.yaml': capsuleTemplate('hello'),
    }).map(([name, text]) => writeFile(join(cwd, name), text)),
  )
  server = startSoma(['start', '--port', '0', '--json'], { cwd, env })
  started = JSON.parse(await server.firstLine)
}, 240_000)
afterAll(async () => {
  endAll()
  await server?.ended
  await rm(cwd, { recursive: true, force: true, maxRetries: 5 })
})

describe('a server that runs', () => {
  test('says where it is, and where the key is, never the key; the key is for its owner alone', async () => {
    expect(started).toMatchObject({ data: join(cwd, '.soma'), adminKey: join(cwd, '.soma/admin.key') })
    const key = (await readFile(started.adminKey, 'utf8')).trim()
    expect(key).toMatch(/^soma_/)
    expect(await server.firstLine).not.toContain(key)
    expect((await stat(started.adminKey)).mode & 0o077).toBe(0)
  })

  test('a second one on the same folder is refused, and the first goes on', async () => {
    const { code, stderr } = await soma('start', '--port', '0')
    expect(code).toBe(1)
    expect(stderr).toContain(`error data_directory_in_use: A server with process id ${started.pid} already runs on ${started.data}`)
    expect((await fetch(`${started.url}/health`)).status).toBe(200)
  })

  test('tools are listed, shown and called; what is wrong comes back as it was said', async () => {
    expect((await json('tool', 'list', 'git')).answer).toContainEqual(expect.objectContaining({ name: 'git.inspect', effect: 'read' }))
    expect((await soma('tool', 'show', 'git.inspect')).stdout).toContain('repository')
    expect(await json('tool', 'call', 'git.inspect', '--input', `repository=${cwd}`)).toMatchObject({
      code: 1,
      answer: { error: { code: 'not_a_repository' } },
    })
    expect(await json('tool', 'show', 'git.inspct')).toMatchObject({ code: 1, answer: { error: { code: 'unknown_tool' } } })
    expect(await json('tool', 'call', 'http.get', '--input', 'url=http://127.0.0.1:1/')).toMatchObject({ code: 4 })
  })

  test('a capsule runs once it is signed; inputs have the types it asks for; a replay gives the same, a changed capsule departs', async () => {
    expect(await json('run', 'counting.yaml', '--input', 'to=41')).toMatchObject({
      code: 1,
      answer: { error: { code: 'signature_invalid' } },
    })
    const { code, answer } = await json('run', 'counting.yaml', '--sign', '--input', 'to=41')
    expect({ code, output: answer.output }).toEqual({ code: 0, output: { sum: 42 } })
    expect(await json('run', 'counting', '--input', 'to=many')).toMatchObject({
      code: 2,
      answer: { error: { message: '"to" must be integer, not "many".' } },
    })
    expect(await json('replay', answer.runId)).toMatchObject({ code: 0, answer: { same: true } })
    await writeFile(join(cwd, 'changed.yaml'), COUNTING.replace('to + 1', 'to + 2'))
    expect(await json('replay', answer.runId, '--capsule', 'changed.yaml')).toMatchObject({ code: 1, answer: { same: false } })
  })

  test('a run that asks is left waiting with exit code 4 and goes on when approved', async () => {
    const { code, answer } = await json('run', 'asking.yaml', '--sign')
    expect({ code, status: answer.status }).toEqual({ code: 4, status: 'waiting' })
    expect(await json('approve', answer.approvals[0].id, '--reason', 'seen')).toMatchObject({ code: 0, answer: { status: 'approved' } })
    expect(await json('reject', answer.approvals[0].id, '--reason', 'no')).toMatchObject({
      code: 1,
      answer: { error: { code: 'conflict' } },
    })
    expect(await json('run', 'asking', '--approve')).toMatchObject({ code: 0, answer: { output: { by: expect.stringMatching(/^key:/) } } })
  })

  test('approvals are listed, shown in full, and delegated for a time; a run whose question nobody answers fails', async () => {
    const { answer } = await json('run', 'asking')
    const { id } = answer.approvals[0]
    expect((await json('approvals', 'list')).answer).toContainEqual(
      expect.objectContaining({ id, status: 'pending', action: 'capsule.step' }),
    )
    expect((await soma('approvals', 'list')).stdout).toContain(id)
    expect((await json('approvals', 'show', id)).answer).toMatchObject({ id, text: 'message: Go on?\n', digest: expect.any(String) })
    expect((await soma('approvals', 'show', id)).stdout).toContain('  message: Go on?')
    expect(await soma('reject', id)).toMatchObject({ code: 2, stderr: expect.stringContaining('--reason') })
    expect(await json('reject', id, '--reason', 'no need')).toMatchObject({ code: 0, answer: { status: 'rejected' } })
    expect((await json('approvals', 'list', '--status', 'rejected')).answer).toContainEqual(expect.objectContaining({ id }))
    expect((await json('approvals', 'list')).answer).toEqual([])

    const given = await json('approvals', 'delegate', 'user:grace', '--days', '14', '--reason', 'on leave')
    expect(given).toMatchObject({ code: 0, answer: { to: 'user:grace', reason: 'on leave' } })
    expect((await json('approvals', 'delegations')).answer).toMatchObject([{ id: given.answer.id }])
    expect(await json('approvals', 'delegate', 'user:linus', '--days', '1', '--reason', 'x')).toMatchObject({
      code: 1,
      answer: { error: { code: 'conflict' } },
    })
    expect(await json('approvals', 'undelegate', given.answer.id)).toMatchObject({ code: 0 })
    expect((await json('approvals', 'delegations')).answer).toEqual([])

    const { answer: patient } = await json('run', 'patient.yaml', '--sign', '--detach')
    const key = (await readFile(started.adminKey, 'utf8')).trim()
    const run = async () => (await fetch(`${started.url}/v1/runs/${patient.runId}`, { headers: { authorization: `Bearer ${key}` } })).json()
    await expect.poll(run, { timeout: 20_000 }).toMatchObject({
      status: 'failed',
      error: { code: 'approval_required', message: expect.stringMatching(/Nobody answered the approval/) },
    })
  })

  test('a project is watched until only people and policy can say more, then approved, dropped and done', async () => {
    const { code, answer } = await json('project', 'create', '--plan', 'plan.yaml', '--wait')
    expect(code).toBe(4)
    const states = () => Object.fromEntries(answer.deliverables.map(({ id, status }: { id: string; status: string }) => [id, status]))
    expect(states()).toEqual({ made: 'done', stopped: 'blocked', asked: 'awaiting_approval' })
    const shown = await soma('project', 'show', answer.id)
    expect(shown.stdout).toContain(`project resolve ${answer.id} stopped`)
    expect(shown.stdout).toContain('approve ')
    expect(await json('project', 'approve', answer.id, 'asked')).toMatchObject({ code: 0, answer: [{ status: 'approved' }] })
    expect((await json('project', 'resolve', answer.id, 'stopped', '--drop', '--reason', 'not now')).code).toBe(0)
    const end = await json('project', 'watch', answer.id)
    expect(end).toMatchObject({ code: 0, answer: { status: 'done' } })
    expect(end.answer.deliverables).toMatchObject([{ status: 'done' }, { status: 'rejected' }, { status: 'done' }])
    expect((await json('project', 'list')).answer).toContainEqual(expect.objectContaining({ id: answer.id }))
    expect(await json('project', 'report', answer.id)).toMatchObject({ code: 1, answer: { error: { code: 'not_found' } } })
    expect(await json('project', 'approve', answer.id)).toMatchObject({ code: 1, answer: { error: { code: 'not_found' } } })
  })

  test('a kill switch stops what runs next with exit code 4, and lifting it lets it go on', async () => {
    expect((await json('kill', 'tool', 'git', '--reason', 'a test')).code).toBe(0)
    expect((await json('kill', '--list')).answer).toMatchObject([{ scope: 'tool', target: 'git', reason: 'a test' }])
    expect(await json('tool', 'call', 'git.inspect', '--input', `repository=${cwd}`)).toMatchObject({
      code: 4,
      answer: { error: { code: 'killed' } },
    })
    expect((await json('kill', '--lift', 'all')).answer).toMatchObject([{ liftedBy: expect.any(String) }])
    expect((await json('kill', '--list')).answer).toEqual([])
  })

  test('a drill says how soon the server saw it, and stops nothing', async () => {
    expect((await json('kill', 'drill', 'planet', '--reason', 'x')).code).toBe(2)
    const { answer } = await json('kill', 'drill', 'everything', '--reason', 'a test')
    expect(answer).toMatchObject({ scope: 'everything', reason: 'a test', isComplete: true, ended: [], finished: [] })
    expect(answer.processes).toEqual([{ name: expect.stringMatching(new RegExp(`:${started.pid}$`)), milliseconds: expect.any(Number) }])
    expect((await json('kill', '--list')).answer).toEqual([])
    expect((await json('tool', 'call', 'git.inspect', '--input', `repository=${cwd}`)).answer.error?.code).not.toBe('killed')
  })

  test('the ledger is exported, verified from the server and from the file, and a change in the file is found', async () => {
    expect(await json('audit', 'verify')).toMatchObject({ code: 0, answer: { ok: true, tenant: 'main' } })
    expect((await json('audit', 'export', '--output', 'ledger.jsonl')).code).toBe(0)
    const text = await readFile(join(cwd, 'ledger.jsonl'), 'utf8')
    expect(await json('audit', 'verify', 'ledger.jsonl')).toMatchObject({ code: 0, answer: { entries: text.split('"entry"').length - 1 } })
    await writeFile(join(cwd, 'forged.jsonl'), text.replace('a test', 'A test'))
    expect(await json('audit', 'verify', 'forged.jsonl')).toMatchObject({ code: 1, answer: { ok: false } })
    expect((await json('audit', 'head')).answer).toMatchObject({ position: expect.stringMatching(/^\d+$/), checkpoint: { tenant: 'main' } })
  })

  test('doctor finds the server and every driver', async () => {
    const { answer } = await json('doctor')
    expect(answer.server).toContainEqual(expect.objectContaining({ name: 'server', ok: true, detail: started.url }))
    expect(answer.ports).toContainEqual(
      expect.objectContaining({ name: 'sql', driver: 'embedded', ok: true, version: expect.stringMatching(/^1[4-9]/) }),
    )
    expect(answer.ports.filter(({ ok }: { ok: boolean }) => !ok)).toEqual([])
    expect((await soma('doctor')).stdout.split('\n').every((line) => line.length <= 80)).toBe(true)
  })

  test('whoami says who the key stands for; without an issuer there is no login, and it says what to do', async () => {
    expect((await json('whoami')).answer).toMatchObject({
      id: expect.stringMatching(/^key:/),
      tenant: 'main',
      mfa: false,
      url: started.url,
    })
    expect(await json('login')).toMatchObject({
      code: 1,
      answer: { error: { code: 'conflict', message: expect.stringContaining('SOMA_API_KEY') } },
    })
    expect((await json('logout')).answer).toMatchObject({ wasSignedIn: false })
  })

  test('a wrong key is exit code 4', async () => {
    const { code, stderr } = await runSoma(['tool', 'list'], { cwd, env: { SOMA_API_KEY: 'soma_wrong' } })
    expect(code).toBe(4)
    expect(stderr).toContain('error unauthenticated')
  })

  test('stop ends it in order; then nobody answers', async () => {
    expect(await json('stop')).toEqual({ code: 0, answer: { stopped: started.pid, url: started.url } })
    expect(await server.ended).toMatchObject({ code: 0 })
    expect(await json('stop')).toMatchObject({ code: 3 })
  })
})

describe('a start that can not be', () => {
  test('a port in use: one sentence, exit code 1, and nothing is left that says a server runs', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as AddressInfo
    const { code, stderr, stdout } = await soma('start', '--port', String(port), '--data', 'taken')
    taken.close()
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^error port_in_use: Another program listens on 127\\.0\\.0\\.1:${port}\\..*SOMA_PORT.*\\n$`))
    await expect(stat(join(cwd, 'taken/server.json'))).rejects.toThrow('ENOENT')
  })

  test.each([
    ['a data folder that is a file', (folder: string) => writeFile(folder, 'x'), 'error data_directory_corrupt: '],
    [
      'a data folder whose database is damaged',
      async (folder: string) => {
        await mkdir(join(folder, 'postgres/cluster'), { recursive: true })
        await writeFile(join(folder, 'postgres/cluster/PG_VERSION'), 'nonsense')
      },
      'error data_directory_corrupt: ',
    ],
  ])('%s', async (_, damage, beginning) => {
    const folder = join(await mkdtemp(join(cwd, 'bad-')), 'data')
    await damage(folder)
    const { code, stderr } = await soma('start', '--data', folder, '--port', '0')
    expect(code).toBe(1)
    expect(stderr.split('\n').filter((line) => line.startsWith('error '))).toEqual([expect.stringContaining(beginning)])
    expect(stderr).not.toMatch(/^ {4}at /m)
  })

  test('a service that does not exist', async () => {
    expect(await soma('start', '--services', 'orchestrater', '--port', '0')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('Did you mean orchestrator?'),
    })
  })
})
