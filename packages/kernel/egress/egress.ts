import type { LookupAddress } from 'node:dns'
import { lookup as systemLookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import { SomaError } from '@soma/contracts/errors'
import { Agent, Pool, fetch as request } from 'undici'
import { egressFailure } from './egress-failure.ts'
import { type EgressRuleOptions, type EgressRules, egressRules, hostOf, portOf } from './egress-rules.ts'

export interface EgressOptions extends EgressRuleOptions {
  /** The most that a response's body, unpacked, or a request's body may hold. */
  maxBytes: number
  /** From the call to the last byte of the body, redirects included. */
  timeoutMilliseconds: number
  maxRedirects: number
  /** How names become addresses. Default: as the system does it. */
  lookup?(host: string): Promise<LookupAddress[]>
}

export interface Egress {
  /**
   * `fetch` as the standard has it, but for what the guard refuses and for its errors, also those of reading the body:
   * @throws egress_blocked, tool_unavailable (no such name, refused, certificate), tool_timeout, tool_failed (cut, too big, too many redirects), invalid_input
   */
  fetch: typeof fetch
  isException: EgressRules['isException']
  close(): Promise<void>
}

/**
 * The only way out of the machine. The address that the rules saw is the address that is connected to, for every address of a name
 * and every hop of a redirect, so a name that changes its address between the two (DNS rebinding) gains nothing. Proxies named in
 * the environment are not used: behind one, nobody could tell where a request ends up.
 */
export function createEgress(options: EgressOptions): Egress {
  const rules = egressRules(options)
  const agent = new Agent({
    factory: (origin, poolOptions) =>
      new Pool(origin, { ...poolOptions, connect: { lookup: guardedLookup(rules, new URL(origin), options) } }),
    // One clock, the call's own, rules them all.
    headersTimeout: 0,
    bodyTimeout: 0,
  })

  const guardedFetch: typeof fetch = async (input, init) => {
    const prepared = await prepare(input, init, options.maxBytes)
    const call = startCall(options.timeoutMilliseconds, prepared, init?.signal ?? (input instanceof Request ? input.signal : undefined))
    try {
      return await followRedirects(prepared, call, agent, rules, options)
    } catch (error) {
      call.end()
      throw call.failure(error)
    }
  }
  return { fetch: guardedFetch, isException: rules.isException, close: () => agent.destroy() }
}

/** Names resolve here and nowhere else; a connection is made to what this returns. */
function guardedLookup(rules: EgressRules, origin: URL, options: EgressOptions): LookupFunction {
  const resolve = options.lookup ?? ((host: string) => systemLookup(host, { all: true }))
  return (host, { all }, callback) => {
    resolve(host)
      .then((addresses) => {
        for (const { address } of addresses) rules.checkAddress(address, hostOf(origin), portOf(origin))
        const [first] = addresses
        if (!first) throw Object.assign(new Error(`${host} has no address`), { code: 'ENOTFOUND' })
        return all ? callback(null, addresses) : callback(null, first.address, first.family)
      })
      .catch((error) => callback(error, []))
  }
}

interface PreparedRequest {
  url: URL
  method: string
  headers: Headers
  body: Uint8Array | undefined
  redirect: Request['redirect']
}

/** Headers that belong to the connection and not to the caller (Fetch, "forbidden request-header"): `Host` could else reach another site than the rules saw. */
const CONNECTION_HEADERS = [
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
]

/** Reads the request as the standard does. The body is held in memory, so that a redirect can send it again. */
async function prepare(input: string | URL | Request, init: RequestInit | undefined, maxBytes: number): Promise<PreparedRequest> {
  const text = input instanceof Request ? input.url : String(input)
  if (!URL.canParse(text))
    throw new SomaError('invalid_input', `"${text.slice(0, 200)}" is not a URL. Write it in full, e.g. https://example.com/path.`)
  const url = withoutFinalDot(new URL(text))
  if (url.username || url.password) return { url, method: 'GET', headers: new Headers(), body: undefined, redirect: 'error' }

  const wanted = asRequest(input, init)
  const headers = new Headers(wanted.headers)
  for (const name of CONNECTION_HEADERS) headers.delete(name)
  if (!headers.has('user-agent')) headers.set('user-agent', 'SomaAgent')
  return { url, method: wanted.method, headers, body: await readRequestBody(wanted, maxBytes), redirect: wanted.redirect }
}

function asRequest(input: string | URL | Request, init: RequestInit | undefined): Request {
  try {
    // The signal is the call's affair; a Request would follow it through a weak reference.
    return new Request(input, { ...init, signal: null, ...(init?.body instanceof ReadableStream && { duplex: 'half' }) })
  } catch (error) {
    throw new SomaError('invalid_input', `The request can not be made: ${(error as Error).message}`, {}, { cause: error })
  }
}

async function readRequestBody(wanted: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  if (!wanted.body) return undefined
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of wanted.body as ReadableStream<Uint8Array>) {
    size += chunk.byteLength
    if (size > maxBytes) throw new SomaError('invalid_input', `The request's body is over the limit of ${maxBytes} bytes.`, { maxBytes })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function withoutFinalDot(url: URL): URL {
  if (url.hostname.endsWith('.')) url.hostname = url.hostname.slice(0, -1)
  return url
}

/** One call's clock and the caller's signal, which both end it, and the errors that tell which it was. */
function startCall(timeoutMilliseconds: number, prepared: PreparedRequest, callerSignal: AbortSignal | null | undefined) {
  const controller = new AbortController()
  const abortAsCaller = () => controller.abort(callerSignal?.reason)
  const timer = setTimeout(() => {
    const host = hostOf(prepared.url)
    const sentence = `${host} did not answer in full within ${timeoutMilliseconds} ms.`
    controller.abort(new SomaError('tool_timeout', sentence, { host, timeoutMilliseconds }))
  }, timeoutMilliseconds).unref()
  if (callerSignal?.aborted) abortAsCaller()
  else callerSignal?.addEventListener('abort', abortAsCaller, { once: true })

  return {
    signal: controller.signal,
    end() {
      clearTimeout(timer)
      callerSignal?.removeEventListener('abort', abortAsCaller)
    },
    stop: (reason: unknown) => controller.abort(reason),
    failure: (error: unknown) => (controller.signal.aborted ? controller.signal.reason : egressFailure(error, prepared.url)),
  }
}
type Call = ReturnType<typeof startCall>

async function followRedirects(
  prepared: PreparedRequest,
  call: Call,
  agent: Agent,
  rules: EgressRules,
  { maxBytes, maxRedirects }: EgressOptions,
): Promise<Response> {
  for (let redirects = 0; ; redirects++) {
    const { url, method, headers, body } = prepared
    rules.checkUrl(url)
    call.signal.throwIfAborted()
    const answer = await request(url, { method, headers: [...headers], body, redirect: 'manual', signal: call.signal, dispatcher: agent })

    const location = REDIRECTS.has(answer.status) ? answer.headers.get('location') : null
    if (location === null || prepared.redirect === 'manual') return boundedResponse(answer, call, url, redirects, maxBytes)
    await answer.body?.cancel()
    const next = redirectTarget(location, url)
    if (prepared.redirect === 'error')
      throw new SomaError('tool_failed', `${hostOf(url)} answered with a redirect, which was not to be followed.`)
    if (redirects === maxRedirects) {
      throw new SomaError('tool_failed', `${hostOf(url)} redirected more than ${maxRedirects} times.`, { maxRedirects, retryable: false })
    }
    redirectRequest(prepared, answer.status, next)
  }
}

const REDIRECTS = new Set([301, 302, 303, 307, 308])

function redirectTarget(location: string, from: URL): URL {
  if (!URL.canParse(location, from.href)) {
    throw new SomaError('tool_failed', `${hostOf(from)} redirected to something that is not a URL.`, { location: location.slice(0, 500) })
  }
  const next = withoutFinalDot(new URL(location, from))
  if (!next.hash) next.hash = from.hash
  return next
}

/** Fetch, "HTTP-redirect fetch", steps 11 to 14. Cookies go the way of Authorization: here the caller set them, for one site. */
function redirectRequest(prepared: PreparedRequest, status: number, next: URL): void {
  const { method, headers, url } = prepared
  const becomesGet = status === 303 ? method !== 'GET' && method !== 'HEAD' : (status === 301 || status === 302) && method === 'POST'
  if (becomesGet) {
    prepared.method = 'GET'
    prepared.body = undefined
    for (const name of ['content-encoding', 'content-language', 'content-location', 'content-type']) headers.delete(name)
  }
  if (next.origin !== url.origin) for (const name of ['authorization', 'cookie']) headers.delete(name)
  prepared.url = next
}

function boundedResponse(answer: Awaited<ReturnType<typeof request>>, call: Call, url: URL, redirects: number, maxBytes: number): Response {
  const body = answer.body && boundedBody(answer.body as ReadableStream<Uint8Array>, call, url, maxBytes)
  if (!body) call.end()
  const response = new Response(body, { status: answer.status, statusText: answer.statusText, headers: [...answer.headers] })
  // The constructor leaves these as if the response came from nowhere.
  return Object.defineProperties(response, { url: { value: url.href.replace(/#.*$/, '') }, redirected: { value: redirects > 0 } })
}

function boundedBody(body: ReadableStream<Uint8Array>, call: Call, url: URL, maxBytes: number): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  let size = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(out) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            call.end()
            return out.close()
          }
          size += value.byteLength
          if (size > maxBytes) {
            const host = hostOf(url)
            call.stop(
              new SomaError('tool_failed', `${host} sent more than the limit of ${maxBytes} bytes; the rest was cut.`, {
                host,
                maxBytes,
                retryable: false,
              }),
            )
            throw call.signal.reason
          }
          out.enqueue(value)
        } catch (error) {
          call.end()
          throw call.failure(error)
        }
      },
      async cancel(reason) {
        call.end()
        await reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
