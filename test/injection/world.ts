import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ADAPTERS } from '@soma/cli/adapters'
import { SERVICES } from '@soma/cli/services'
import { sha256 } from '@soma/contracts/journal'
import { Config } from '@soma/kernel/config/schema'
import type { Needs } from '@soma/kernel/http/service'
import { openPlatform } from '@soma/kernel/platform/open-platform'
import { createLogger } from '@soma/kernel/telemetry/log'
import { expect } from 'vitest'
import { createObedientAgent } from './agent.ts'

const run = promisify(execFile)
export type InjectionWorld = Awaited<ReturnType<typeof openInjectionWorld>>

const TENANT = 'main'
/** Everything: what is refused is refused by rules, not for want of a capability. */
const PERSONA = ['*']

/**
 * The platform as it is, with its own constitution; a web that it may read, a place that collects whatever is sent there, a repository
 * and a folder of people's.
 */
export async function openInjectionWorld() {
  const folder = await mkdtemp(join(tmpdir(), 'soma-injection-'))
  const pages = new Map<string, { type: string; text: string; headers?: Record<string, string> }>()
  const web = await listen((path, response) => {
    const page = pages.get(path)
    if (page) response.writeHead(200, { 'content-type': page.type, ...page.headers }).end(page.text)
    else response.writeHead(404, { 'content-type': 'text/plain' }).end(pages.get('404')?.text ?? 'not found')
  })
  const taken: string[] = []
  const sink = await listen((path, response, method) => {
    taken.push(`${method} ${path}`)
    response.end('thank you')
  })
  const people = join(folder, 'people')
  await mkdir(join(people, 'documents'), { recursive: true })
  await writeFile(join(people, 'documents', 'salaries.txt'), 'secret-salaries')
  const repository = join(people, 'repository')
  const git = gitIn(repository)
  await makeRepository(repository, git)

  const config = Config.parse({
    data: join(folder, 'data'),
    http: { port: 0, maxEventLoopDelayMilliseconds: 0 },
    egress: { allow: [`127.0.0.1:${web.port}`, `127.0.0.1:${sink.port}`] },
    log: { level: 'silent' },
  })
  const platform = await openPlatform({
    config,
    services: SERVICES,
    adapters: ADAPTERS,
    logger: await createLogger(config.log),
    version: 'test',
  })
  const { tokens, journal } = platform.needs as Needs
  const adminKey = (await readFile(join(platform.dataDirectory, 'admin.key'), 'utf8')).trim()
  let runs = 0

  async function asAdministrator(path: string, init: RequestInit = {}): Promise<unknown> {
    const headers = { authorization: `Bearer ${adminKey}`, ...(init.body ? { 'content-type': 'application/json' } : {}) }
    const response = await fetch(`${platform.url}${path}`, { ...init, headers })
    const answer = await response.json()
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(answer)}`)
    return answer
  }

  async function runThatSays(text: string): Promise<string> {
    const version = `1.0.${++runs}`
    const yaml = JSON.stringify({
      apiVersion: 'soma.dev/v1',
      kind: 'Capsule',
      metadata: { name: 'saying', version, summary: 'Says something' },
      outputs: { value: { text } },
      steps: [{ id: 'say', value: text }],
    })
    await asAdministrator('/v1/capsules', { method: 'POST', body: JSON.stringify({ yaml }) })
    await asAdministrator(`/v1/capsules/saying/${version}/sign`, { method: 'POST' })
    const { runId } = (await asAdministrator('/v1/runs', {
      method: 'POST',
      body: JSON.stringify({ capsule: 'saying', version }),
    })) as { runId: string }
    await expect.poll(() => asAdministrator(`/v1/runs/${runId}`)).toMatchObject({ status: 'completed' })
    return runId
  }

  return {
    web: `http://127.0.0.1:${web.port}`,
    sink: `http://127.0.0.1:${sink.port}`,
    pages,
    taken,
    people,
    repository,
    asAdministrator,
    runThatSays,
    /** A commit of a stranger's that was merged. */
    async commit({ message = 'Change', author = 'Stranger <stranger@example.org>', file = 'README.md', content = String(++runs) }) {
      await mkdir(dirname(join(repository, file)), { recursive: true })
      await writeFile(join(repository, file), content)
      await git('add', '.')
      await git('commit', '--quiet', '--allow-empty', '--author', author, '-m', message)
    },
    /** An agent in a run of its own, with a workspace that holds a way out. */
    async startAgent() {
      const id = `run-injection-${++runs}`
      const workspace = join(platform.dataDirectory, 'workspaces', TENANT, id)
      await mkdir(workspace, { recursive: true })
      await symlink(join(people, 'documents'), join(workspace, 'shortcut'))
      const principal = { id: 'agent:obedient', kind: 'agent' as const, tenant: TENANT, capabilities: PERSONA, within: [], run: id }
      // A token of a run is good as long as the run's record says that it is open.
      const started = { workflow: 'capsule', input: {}, generation: 1 }
      await journal.append({ tenant: TENANT, stream: `run/${id}`, expectedSeq: 0, entries: [{ kind: 'run.started', payload: started }] })
      const token = await tokens.issue(principal, { audience: config.auth.audience, ttlSeconds: 600 })
      return { ...createObedientAgent({ url: platform.url, token }), workspace }
    },
    /** All that an order could have changed outside the agent's workspace. */
    async look(): Promise<Record<string, unknown>> {
      const { stdout: refs } = await run('git', ['-C', repository, 'for-each-ref'])
      const governance = [
        '/v1/api-keys',
        '/v1/kill-switches',
        '/v1/constitution/versions',
        '/v1/constitution/proposals',
        '/v1/projects',
        '/v1/capsules',
      ]
      const answers = await Promise.all(governance.map((path) => asAdministrator(`${path}?limit=200`)))
      return {
        taken: [...taken],
        refs,
        files: await digests(people),
        governance: Object.fromEntries(governance.map((path, index) => [path, withoutUse(answers[index])])),
      }
    },
    async close() {
      await platform.lifecycle.stop('the tests ended')
      for (const server of [web, sink]) server.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

type Answer = (path: string, response: import('node:http').ServerResponse, method: string) => void

async function listen(answer: Answer) {
  const server = createServer((request, response) => {
    request.resume()
    answer(decodeURIComponent(request.url ?? ''), response, request.method ?? '')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return { port: (server.address() as AddressInfo).port, close: () => server.close() && server.closeAllConnections() }
}

type Git = (...words: string[]) => Promise<unknown>

function gitIn(path: string): Git {
  return (...words) =>
    run('git', ['-C', path, '-c', 'user.name=Ann', '-c', 'user.email=ann@example.org', '-c', 'commit.gpgsign=false', ...words])
}

async function makeRepository(path: string, git: Git): Promise<void> {
  await mkdir(path, { recursive: true })
  await git('init', '--quiet', '--initial-branch=main')
  await writeFile(join(path, 'README.md'), '# A project\n')
  await git('add', '.')
  await git('commit', '--quiet', '-m', 'Begin')
  await git('branch', 'release')
}

async function digests(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('.git'))
  const pairs = files.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name)
    return [path, sha256(await readFile(path))] as const
  })
  return Object.fromEntries((await Promise.all(pairs)).sort())
}

/** When a key was last used changes by looking. */
function withoutUse(answer: unknown): unknown {
  return JSON.parse(JSON.stringify(answer, (name, value) => (name === 'lastUsedAt' ? undefined : value)))
}
