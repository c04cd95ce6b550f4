import { timingSafeEqual } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { createGunzip, createGzip } from 'node:zlib'
import { drainPending, Session } from 'chdb'
import { Refusal, readStatement, type Statement } from './request.ts'

/**
 * ClickHouse over HTTP, for a machine that can only install from package registries: none of them carries the server. The engine is
 * ClickHouse's own (chDB); this door to it is ours and does what the client uses of ClickHouse's HTTP interface: statements in the
 * address or the body, `param_*`, settings, `database`, gzip, basic authentication, `/ping`, errors with their code. What it lacks
 * (sessions, roles, ClickHouse's own compression) it refuses. Users run the vendor's server.
 *
 * Usage: `http-door.ts FOLDER PORT USER`, the password in CLICKHOUSE_PASSWORD.
 */
const [folder, port, user] = process.argv.slice(2) as [string, string, string]
const credentials = Buffer.from(`${user}:${process.env.CLICKHOUSE_PASSWORD ?? ''}`)

/** Statuses that ClickHouse gives to errors, where it is not 500. */
const STATUS_OF_CODE: Readonly<Record<number, number>> = { 60: 404, 62: 400, 81: 404, 115: 404, 193: 401, 456: 400, 516: 403 }

// Holds the folder open between requests.
const engine = new Session(folder)

const server = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
  answer(request, response).catch((error: unknown) => refuse(response, error))
})
server.listen(Number(port), '127.0.0.1')
process.once('SIGTERM', stop)

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const address = new URL(request.url ?? '/', 'http://localhost')
  if (address.pathname === '/ping' || (request.method === 'GET' && address.search === '')) {
    response.end('Ok.\n')
    return
  }
  requireCredentials(request)
  const statement = readStatement(request.method ?? 'GET', address.searchParams, await readBody(request))
  response.setHeader('X-ClickHouse-Query-Id', statement.queryId)
  const result = await run(statement)
  const summary = { read_rows: `${result.rowsRead}`, read_bytes: `${result.bytesRead}`, elapsed_ns: `${Math.round(result.elapsed * 1e9)}` }
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(summary))
  send(request, response, statement, result.bytes())
}

/** In a session of its own, for over HTTP settings, parameters and the database are those of one request. */
async function run({ preparation, sql, format }: Statement) {
  const session = new Session(folder)
  try {
    for (const step of preparation) await session.queryAsync(step)
    return await session.queryAsync(sql, { format })
  } finally {
    session.close()
  }
}

function requireCredentials(request: IncomingMessage): void {
  const shown = Buffer.from(/^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '', 'base64')
  if (shown.length === credentials.length && timingSafeEqual(shown, credentials)) return
  throw new Refusal(516, 'AUTHENTICATION_FAILED', 'Authentication failed: password is incorrect, or there is no user with such name.')
}

async function readBody(request: IncomingMessage): Promise<string> {
  const isPacked = request.headers['content-encoding'] === 'gzip'
  const bytes = await buffer(isPacked ? request.pipe(createGunzip()) : request)
  return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
}

function send(request: IncomingMessage, response: ServerResponse, { isPackedIfAsked }: Statement, content: Uint8Array): void {
  if (!isPackedIfAsked || !/\bgzip\b/.test(String(request.headers['accept-encoding']))) {
    response.end(content)
    return
  }
  response.setHeader('Content-Encoding', 'gzip')
  createGzip().end(content).pipe(response)
}

function refuse(response: ServerResponse, error: unknown): void {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  response.writeHead(STATUS_OF_CODE[code] ?? 500, { 'X-ClickHouse-Exception-Code': String(code) })
  response.end(message.startsWith('Code: ') ? message : `Code: ${code}. DB::Exception: ${message}`)
}

/** 1002 is ClickHouse's code for what has none. */
function codeOf(error: unknown): number {
  return (error as { clickhouseCode?: number }).clickhouseCode ?? 1002
}

async function stop(): Promise<void> {
  server.close()
  server.closeIdleConnections()
  await drainPending()
  engine.close()
  process.exit()
}
