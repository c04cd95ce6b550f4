import { createHash, timingSafeEqual } from 'node:crypto'
import { type EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SomaError } from '@soma/contracts/errors'
import type { Bundle } from './bundle.ts'

/** Seconds that an OPA may let a request wait. */
const LONGEST_WAIT = 60
/** Where the configuration of an OPA finds the bundle (`resource`). */
const PATH = '/bundle.tar.gz'

/** Where bundles come from. */
export interface BundleSource {
  /** The bundle as it should be in force now. */
  current(): Promise<Bundle>
  /** Emits `change` when there may be another. */
  changes: EventEmitter
}

export interface BundleServerOptions {
  host: string
  /** 0 takes any free one. */
  port: number
  /** What an OPA must show. */
  token: string
  source: BundleSource
  onTrouble(error: unknown): void
}

/**
 * Serves the bundle to OPAs: `If-None-Match`, and long polling (`Prefer: wait=30`), so that a change is with them at once.
 * @throws port_in_use
 */
export async function serveBundles(options: BundleServerOptions): Promise<{ url: string; close(): Promise<void> }> {
  const { host, port } = options
  const closing = new AbortController()
  options.source.changes.setMaxListeners(0)
  const server = createServer((request, response) => {
    answer(options, request, response, closing.signal).catch((error: unknown) => {
      options.onTrouble(error)
      response.writeHead(503).end('There is no bundle at present.\n')
    })
  })
  server.listen({ host, port })
  await once(server, 'listening').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'EADDRINUSE') throw cause
    const message = `Another program listens on ${host}:${port}, where OPAs fetch their bundle. Stop it, or choose another port with SOMA_OPA_BUNDLE_PORT.`
    throw new SomaError('port_in_use', message, { host, port }, { cause })
  })
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    async close() {
      closing.abort()
      server.close()
      server.closeIdleConnections()
      await once(server, 'close')
    },
  }
}

async function answer(
  { token, source }: BundleServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  closing: AbortSignal,
): Promise<void> {
  if (closing.aborted) response.setHeader('connection', 'close')
  if (request.url !== PATH || request.method !== 'GET') return void response.writeHead(404).end()
  if (!isSame(request.headers.authorization ?? '', `Bearer ${token}`)) return void response.writeHead(401).end()
  // Listened for before the bundle is read, so that no change comes in between.
  const over = new AbortController()
  response.once('close', () => over.abort())
  const changed = nextChange(source.changes, request, AbortSignal.any([closing, over.signal]))
  let bundle = await source.current()
  if (isKnown(request, bundle)) {
    await changed
    bundle = await source.current()
  }
  const etag = `"${bundle.revision}"`
  if (isKnown(request, bundle)) return void response.writeHead(304, { etag }).end()
  // By this type an OPA knows that it may poll long.
  response.writeHead(200, { etag, 'content-type': 'application/vnd.openpolicyagent.bundles' }).end(bundle.archive)
}

/** Resolves at the next change, or when the caller has waited as long as it wants. */
async function nextChange(changes: EventEmitter, request: IncomingMessage, over: AbortSignal): Promise<void> {
  const [, seconds = '0'] = /\bwait=(\d+)/.exec(String(request.headers.prefer)) ?? []
  const wait = Math.min(Number(seconds), LONGEST_WAIT)
  if (wait === 0) return
  await once(changes, 'change', { signal: AbortSignal.any([over, AbortSignal.timeout(wait * 1000)]) }).catch(() => undefined)
}

function isKnown(request: IncomingMessage, { revision }: Bundle): boolean {
  return request.headers['if-none-match'] === `"${revision}"`
}

/** Takes the same time for every wrong token. */
function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(other))
}
