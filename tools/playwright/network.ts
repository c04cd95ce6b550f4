import { SomaError } from '@soma/contracts/errors'
import type { BrowserContext, Frame, Request, Route } from 'playwright-core'
import { askOtherOrigin } from './preflight.ts'

export interface Blocked {
  url: string
  code: string
  message: string
}

export interface GuardedNetwork {
  /** What did not get through, oldest first, at the most BLOCKED_LIMIT. */
  blocked: Blocked[]
  /** Navigates, with redirects; the answer to the last request is the page's. @throws what the outside said, e.g. egress_blocked */
  open(frame: Frame, url: string, navigate: (url: string) => Promise<void>): Promise<void>
}

const BLOCKED_LIMIT = 20
const MAX_REDIRECTS = 10

/** Made anew for what the browser gets: the body is unpacked by then. */
const TRANSFER_HEADERS = new Set(['content-encoding', 'content-length', 'transfer-encoding', 'connection', 'keep-alive'])

/** Kinds whose content a page can use but not read, so that their origin does not matter. */
const UNREADABLE = new Set(['script', 'stylesheet'])

/** Answers every request of a browser context by `outside`, the fetch behind the egress guard. The browser itself reaches nothing. */
export async function guardNetwork(session: BrowserContext, outside: typeof fetch, signal: AbortSignal): Promise<GuardedNetwork> {
  const blocked: Blocked[] = []
  /** The navigation that `open` leads: it follows redirects itself, so that address and origin are those of the page that came. */
  let led: { frame: Frame; redirect?: string; failure?: unknown } | undefined

  async function answer(route: Route): Promise<void> {
    const request = route.request()
    const navigation = request.isNavigationRequest()
    const leading = navigation && led?.frame === frameOf(request) ? led : undefined
    try {
      if (!navigation) await askOtherOrigin(request, outside, signal)
      const response = await outside(request.url(), {
        method: request.method(),
        headers: { ...request.headers(), ...(await cookies(session, request)) },
        body: request.postDataBuffer(),
        redirect: navigation ? 'manual' : 'follow',
        signal,
      })
      const location = navigation && response.status >= 300 && response.status < 400 ? response.headers.get('location') : null
      if (location !== null) {
        const next = redirectTarget(request, response.status, location)
        await response.body?.cancel()
        if (leading) leading.redirect = next
        return await route.fulfill({
          contentType: 'text/html',
          headers: { ...cookiesOf(response), ...(!leading && { refresh: `0; url=${next}` }) },
          body: '',
        })
      }
      if (!navigation) checkOrigin(request, response)
      await route.fulfill({
        status: response.status,
        headers: { ...closedToOthers, ...headersOf(response) },
        body: Buffer.from(await response.arrayBuffer()),
      })
    } catch (error) {
      if (signal.aborted) return // The context is closing, and the request with it.
      if (leading) leading.failure = error
      if (blocked.length < BLOCKED_LIMIT) blocked.push(describe(request, error))
      await route.abort('blockedbyclient').catch(() => undefined) // The page may be gone, which is as good.
    }
  }
  await session.route('**', answer)

  return {
    blocked,
    async open(frame, start, navigate) {
      let url: string | undefined = start
      for (let hops = 0; url !== undefined; hops++) {
        if (hops > MAX_REDIRECTS)
          throw new SomaError('tool_failed', `${new URL(url).host} redirected more than ${MAX_REDIRECTS} times.`, { retryable: false })
        const current: NonNullable<typeof led> = { frame }
        led = current
        try {
          await navigate(url)
        } catch (error) {
          throw current.failure ?? error
        } finally {
          led = undefined
        }
        url = current.redirect
      }
    },
  }
}

function frameOf(request: Request): Frame | undefined {
  try {
    return request.frame()
  } catch {
    return undefined // A new window's first request has none yet.
  }
}

/**
 * The browser leaves cookies to the network, which is here. They go with navigations and to the page's own origin; to others none go,
 * as with SameSite=Strict.
 */
async function cookies(session: BrowserContext, request: Request): Promise<{ cookie?: string }> {
  if (!request.isNavigationRequest() && !isSameOrigin(request)) return {}
  const held = await session.cookies(request.url())
  return held.length > 0 ? { cookie: held.map(({ name, value }) => `${name}=${value}`).join('; ') } : {}
}

function isSameOrigin(request: Request): boolean {
  const page = frameOf(request)?.url()
  return page !== undefined && URL.canParse(page) && new URL(page).origin === new URL(request.url()).origin
}

/** The redirect becomes a page that leads on, because the browser would follow a real one past the guard. */
function redirectTarget(request: Request, status: number, location: string): string {
  const from = new URL(request.url())
  if (!URL.canParse(location, from.href)) throw new SomaError('tool_failed', `${from.host} redirected to something that is not a URL.`)
  const next = new URL(location, from)
  if (!['http:', 'https:'].includes(next.protocol)) {
    const sentence = `${from.host} redirected to the scheme ${next.protocol}, which is not allowed, only http: and https:.`
    throw new SomaError('egress_blocked', sentence, { host: next.host, rule: 'scheme' })
  }
  if ((status === 307 || status === 308) && request.method() !== 'GET') {
    throw new SomaError('tool_failed', `${from.host} wants a form sent on to ${next.host}, which is not done.`, { retryable: false })
  }
  if (!next.hash) next.hash = from.hash
  return next.href
}

/**
 * The browser takes what comes to be from the address it asked. Where a redirect led elsewhere, the page could read what the same-origin
 * policy keeps from it, so the other side must have allowed that.
 */
function checkOrigin(request: Request, response: Response): void {
  const asked = new URL(request.url()).origin
  if (!response.url || new URL(response.url).origin === asked || UNREADABLE.has(request.resourceType())) return
  const allowed = response.headers.get('access-control-allow-origin')
  if (allowed === '*' || allowed === asked) return
  const sentence = `${new URL(asked).host} redirected to ${new URL(response.url).host}, which does not let pages from elsewhere read its answers.`
  throw new SomaError('tool_failed', sentence, { rule: 'cross_origin_redirect' })
}

/** Playwright opens an answer that names no origin to every origin (its issue 12929); naming one that is nobody's keeps it closed. */
const closedToOthers = { 'access-control-allow-origin': 'https://nobody.invalid' }

function cookiesOf(response: Response): Record<string, string> {
  const lines = response.headers.getSetCookie()
  return lines.length > 0 ? { 'set-cookie': lines.join('\n') } : {}
}

function headersOf(response: Response): Record<string, string> {
  const plain = [...response.headers].filter(([name]) => !TRANSFER_HEADERS.has(name) && name !== 'set-cookie')
  return { ...Object.fromEntries(plain), ...cookiesOf(response) }
}

function describe(request: Request, error: unknown): Blocked {
  const { origin, pathname } = new URL(request.url())
  const url = `${origin}${pathname}`.slice(0, 500)
  return SomaError.is(error) ? { url, code: error.code, message: error.message } : { url, code: 'tool_failed', message: String(error) }
}
