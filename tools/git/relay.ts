import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { SomaError } from '@soma/contracts/errors'

/** The two requests of a fetch, https://git-scm.com/docs/http-protocol; a push has others and does not pass. */
const ADVERTISEMENT = '/info/refs?service=git-upload-pack'
const PACK = '/git-upload-pack'
const SENT = ['accept', 'content-type', 'content-encoding', 'git-protocol']
const GIVEN = ['content-type', 'cache-control']

export interface Relay {
  /** What git is given instead of the source. */
  address: string
  /** Why the egress guard, or the network, did not let a request through. */
  refusal(): Error | undefined
  close(): Promise<void>
}

/**
 * Lets git fetch from `source` through `fetch`, which the egress guard stands behind: git itself is allowed to reach only this
 * relay, on the loopback interface, under a path that nobody can guess.
 */
export async function openRelay(source: string, fetch: typeof globalThis.fetch, signal: AbortSignal): Promise<Relay> {
  const secret = `/${randomBytes(16).toString('hex')}`
  let base = source.replace(/\/+$/, '')
  let refused: Error | undefined

  async function pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.startsWith(secret) ? request.url.slice(secret.length) : ''
    const isPack = request.method === 'POST' && path === PACK
    if (!isPack && !(request.method === 'GET' && path === ADVERTISEMENT)) {
      response.writeHead(404).end()
      return
    }
    const answer = await fetch(base + path, {
      method: request.method,
      headers: pick(SENT, (name) => request.headers[name]),
      signal,
      ...(isPack && { body: Readable.toWeb(request) as ReadableStream, duplex: 'half' }),
    })
    // A repository that moved answers the first request from elsewhere; the second goes there at once.
    if (!isPack && answer.redirected) base = answer.url.replace(ADVERTISEMENT, '')
    if (!answer.ok)
      refused = new SomaError('tool_failed', `"${source}" answered ${answer.status} ${answer.statusText}.`, { status: answer.status })
    response.writeHead(
      answer.status,
      pick(GIVEN, (name) => answer.headers.get(name)),
    )
    await pipeline(answer.body ? Readable.fromWeb(answer.body as Parameters<typeof Readable.fromWeb>[0]) : Readable.from([]), response)
  }

  const server = createServer((request, response) => {
    pass(request, response).catch((error: Error) => {
      refused = error
      response.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}${secret}`,
    refusal: () => refused,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function pick(names: string[], headerOf: (name: string) => string | string[] | null | undefined): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => (typeof headerOf(name) === 'string' ? [[name, String(headerOf(name))]] : [])))
}
