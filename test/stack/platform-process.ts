import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RunningProgram, startSoma } from '@soma/cli/testing'
import type { Statements } from '@soma/ports/sql/port'
import { openTestSql } from '@soma/ports/sql/testing'

export interface PlatformProcess {
  url: string
  /** What it has printed is in its result. */
  program: RunningProgram
}

export interface PlatformProcesses {
  start(services: readonly string[], options?: { port?: number; peerUrl?: string; env?: Record<string, string> }): Promise<PlatformProcess>
  /** Asks as the administrator. */
  call(url: string, path: string, options?: { body?: unknown; headers?: Record<string, string>; method?: string }): Promise<Response>
  /** The database server's superuser. */
  superuser: Statements
  close(): Promise<void>
}

/** The database server, when it is not that of the test run. */
export interface DatabaseServer {
  /** `postgres://` of its superuser. */
  url: string
  /** host:port by which the processes reach it, when a proxy stands before it. */
  proxy: string
}

/** Processes of one platform, as people start them: one database and one master key, a data folder each. */
export async function openPlatformProcesses(shared: Record<string, string> = {}, server?: DatabaseServer): Promise<PlatformProcesses> {
  const folder = await mkdtemp(join(tmpdir(), 'soma-processes-'))
  const sql = server ? await openTestSql(connectionOf(server.url)) : await openTestSql()
  const { user, password, host = 'localhost', port, database } = sql.connection
  const env = {
    SOMA_SQL_URL: server
      ? `postgres://${user}:${password}@${server.proxy}/${database}`
      : `postgres://${user}:${password}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`,
    SOMA_MASTER_KEY: randomBytes(32).toString('base64'),
    ...shared,
  }
  const running: RunningProgram[] = []
  let adminKey = ''

  return {
    start: async (services, { port: ownPort = 0, peerUrl, env: own = {} } = {}) => {
      const words = ['start', '--port', String(ownPort), '--json', '--data', join(folder, String(running.length))]
      if (services.length > 0) words.push('--services', services.join(','))
      const program = startSoma(words, { cwd: folder, env: { ...env, ...own, ...(peerUrl ? { SOMA_PEER_URL: peerUrl } : {}) } })
      running.push(program)
      const line = await program.firstLine
      const started = JSON.parse(line) as { url?: string; adminKey?: string }
      if (!started.url) throw new Error(`The platform did not start: ${line}`)
      if (started.adminKey) adminKey = (await readFile(started.adminKey, 'utf8')).trim()
      return { url: started.url, program }
    },
    call: (url, path, { body, headers, method = body === undefined ? 'GET' : 'POST' } = {}) =>
      fetch(new URL(path, url), {
        method,
        headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json', ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      }),
    superuser: sql.superuser,
    close: async () => {
      await Promise.all(running.map((program) => program.stop('SIGTERM')))
      await sql.close()
      await rm(folder, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}

function connectionOf(url: string) {
  const { hostname, port, username, password } = new URL(url)
  return { host: hostname, port: Number(port), user: username, password: decodeURIComponent(password) }
}

/** A port that was free a moment ago: processes that name each other must know theirs before they start. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : 0
}
