import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net'
import { SomaError } from '@soma/contracts/errors'
import { createEgress, type Egress } from '@soma/kernel/egress/egress'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { callOperation, testContext } from '../frame/calls/testing.ts'
import { playwrightAdapter } from './adapter.ts'
import { type BrowserClient, connectBrowser, findBrowser } from './browser.ts'
import { pdf, screenshot } from './capture.ts'
import { evaluate } from './evaluate.ts'
import { links, openPageText } from './read.ts'

const missing = await findBrowser().then(
  () => undefined,
  (error: unknown) => error,
)

describe('where there is no browser', () => {
  test('the adapter says so and what to install', async () => {
    await expect(findBrowser({ PATH: '' })).rejects.toMatchObject({
      code: 'tool_unavailable',
      message: expect.stringContaining('apt-get install chromium'),
    })
    await expect(findBrowser({})).rejects.toMatchObject({ code: 'tool_unavailable' })
    await expect(findBrowser({ SOMA_BROWSER: '/no/such/browser', PATH: process.env.PATH })).rejects.toMatchObject({
      code: 'tool_unavailable',
      message: expect.stringContaining('SOMA_BROWSER is "/no/such/browser"'),
    })
  })
})

if (missing) describe('on this machine, which has no browser', noBrowser)
else describe('in the browser of this machine', inBrowser)

function noBrowser() {
  test('connecting and health say so', async () => {
    await expect(playwrightAdapter.connect()).rejects.toMatchObject({
      code: 'tool_unavailable',
      message: expect.stringContaining('Install Chromium'),
    })
    expect(await playwrightAdapter.health()).toEqual({ ok: false, detail: expect.stringContaining('Install Chromium') })
  })
}

function inBrowser() {
  let client: BrowserClient
  let egress: Egress
  let port: number
  let trapPort: number
  let trapped = 0
  const counted: string[] = []
  const html = (body: string) => `<!doctype html><title>A title</title><body>${body}</body>`
  const page = (name: string, host = 'a.example') => `http://${host}:${port}/${name}`

  const pages: Record<string, RequestListener> = {
    '/text': (_request, response) => response.end(html('<p>shown</p><p hidden>hidden</p><script src="/script"></script>')),
    '/script': (_request, response) => response.setHeader('content-type', 'text/javascript').end('document.body.append("by script")'),
    '/missing': (_request, response) => response.writeHead(404).end(html('not here')),
    '/elsewhere': (_request, response) => response.writeHead(302, { location: page('landed', 'b.example') }).end(),
    '/landed': (_request, response) =>
      response.end(html('<a href="next?a=b#c">Next</a> <a href="mailto:x@y.example">Mail</a> <a>none</a>')),
    '/login': (_request, response) => response.writeHead(303, { location: '/who', 'set-cookie': ['session=1', 'b=2; HttpOnly'] }).end(),
    '/who': (request, response) => response.end(html(`cookie: ${request.headers.cookie ?? 'none'}`)),
    '/around': (_request, response) => response.writeHead(302, { location: '/around' }).end(),
    '/inside': (_request, response) => response.writeHead(302, { location: `http://127.0.0.1:${trapPort}/` }).end(),
    '/to-file': (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    '/file': (_request, response) => response.setHeader('content-disposition', 'attachment; filename=x.bin').end('content'),
    '/slow': () => {},
    '/strict': (_request, response) => response.setHeader('content-security-policy', "default-src 'none'").end(html('strict')),
    '/worker': (_request, response) => response.setHeader('content-type', 'text/javascript').end('self.onfetch = () => {}'),
    '/secret': (_request, response) => response.end('secret of b'),
    '/public': (_request, response) => response.setHeader('access-control-allow-origin', '*').end('public of b'),
    '/counted': (request, response) => {
      counted.push(request.method ?? '')
      response.end()
    },
    '/open': (request, response) => {
      const open = { 'access-control-allow-origin': '*', 'access-control-allow-methods': 'PUT', 'access-control-allow-headers': 'X-A' }
      response.writeHead(200, open).end(request.method)
    },
    '/to-secret': (_request, response) => response.writeHead(302, { location: page('secret', 'b.example') }).end(),
    '/to-public': (_request, response) => response.writeHead(302, { location: page('public', 'b.example') }).end(),
  }
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8')
    pages[new URL(request.url ?? '', 'http://x').pathname]?.(request, response)
  })
  const trap = createTcpServer((socket) => {
    trapped++
    socket.destroy()
  })
  const udpTrap = createSocket('udp4', () => trapped++)

  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    port = (server.address() as AddressInfo).port
    await once(trap.listen(0, '127.0.0.1'), 'listening')
    trapPort = (trap.address() as AddressInfo).port
    udpTrap.bind(trapPort, '127.0.0.1')
    await once(udpTrap, 'listening')
    egress = createEgress({
      allowPrivate: [`a.example:${port}`, `b.example:${port}`],
      lookup: async () => [{ address: '127.0.0.1', family: 4 }],
      maxBytes: 1_000_000,
      timeoutMilliseconds: 20_000,
      maxRedirects: 3,
    })
    client = await playwrightAdapter.connect()
  })
  afterAll(async () => {
    await playwrightAdapter.close?.(client)
    await egress.close()
    udpTrap.close()
    trap.close()
    server.closeAllConnections()
    server.close()
  })
  const context = (given = {}) => testContext({ client, fetch: egress.fetch, ...given })
  const run = (script: string, given: { url?: string; argument?: unknown } = {}) =>
    callOperation(evaluate, { url: page('text'), script, ...given }, context())

  describe('a page', () => {
    test('gives title, status and the text a person sees, also what its scripts made', async () => {
      expect(await callOperation(openPageText, { url: page('text') }, context())).toEqual({
        url: page('text'),
        status: 200,
        title: 'A title',
        text: 'shown\n\nby script',
        truncated: false,
        blocked: [],
      })
      expect(await callOperation(openPageText, { url: page('missing') }, context())).toMatchObject({ status: 404, text: 'not here' })
      expect(await callOperation(openPageText, { url: page('text'), maxCharacters: 3 }, context())).toMatchObject({
        text: 'sho',
        truncated: true,
      })
    })

    test('lists its links in full', async () => {
      expect(await callOperation(links, { url: page('landed') }, context())).toMatchObject({
        links: [
          { url: page('next?a=b#c'), text: 'Next' },
          { url: 'mailto:x@y.example', text: 'Mail' },
        ],
        truncated: false,
      })
    })

    test('is kept as a picture and as a PDF', async () => {
      const kept = context()
      const picture = await callOperation(screenshot, { url: page('text'), viewport: { width: 320, height: 200 } }, kept)
      const png = Buffer.from(await kept.objects.get(picture.digest))
      expect([picture.mediaType, png.toString('latin1', 1, 4), png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([
        'image/png',
        'PNG',
        320,
        200,
      ])
      const printed = await callOperation(pdf, { url: page('text') }, kept)
      expect(printed.mediaType).toBe('application/pdf')
      expect(Buffer.from(await kept.objects.get(printed.digest)).toString('latin1', 0, 5)).toBe('%PDF-')
    })

    test('is where its redirects led, with their cookies', async () => {
      expect(await callOperation(openPageText, { url: page('elsewhere') }, context())).toMatchObject({
        url: page('landed', 'b.example'),
        status: 200,
      })
      const { text } = await callOperation(openPageText, { url: page('login') }, context())
      expect(text).toBe('cookie: session=1; b=2')
      await expect(callOperation(openPageText, { url: page('around') }, context())).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('redirected more than'),
      })
    })

    test('leaves nothing for the next one', async () => {
      await run('document.cookie = "left=1"; localStorage.setItem("left", "1")')
      expect(await run('return [document.cookie, localStorage.length]')).toMatchObject({ value: ['', 0] })
    })

    test('that is a file, or does not come, says so', async () => {
      await expect(callOperation(openPageText, { url: page('file') }, context())).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('http.download'),
      })
      await expect(callOperation(openPageText, { url: page('slow'), openSeconds: 0.5 }, context())).rejects.toMatchObject({
        code: 'tool_timeout',
      })
    })
  })

  describe('a script', () => {
    test('gets its argument and returns JSON, also under a strict content policy', async () => {
      expect(await run('return { sum: argument.a + 1, title: document.title }', { url: page('strict'), argument: { a: 1 } })).toMatchObject(
        {
          value: { sum: 2, title: 'A title' },
        },
      )
      expect(await run('// nothing')).toMatchObject({ value: null })
    })

    test('that throws, returns what is no JSON or too much, is an error that says so', async () => {
      await expect(run('throw new Error("broken")')).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('broken'),
      })
      await expect(run('return (')).rejects.toMatchObject({ code: 'tool_failed', message: expect.stringContaining('SyntaxError') })
      await expect(run('return 1n')).rejects.toMatchObject({ code: 'tool_failed', message: expect.stringContaining('JSON') })
      await expect(run('return "x".repeat(2_000_000)')).rejects.toMatchObject({
        code: 'tool_failed',
        message: expect.stringContaining('limit'),
      })
    })

    test('that never ends is ended by the signal, with its reason', async () => {
      for (const script of ['while (true);', 'await new Promise(() => {})']) {
        const stop = new AbortController()
        const reason = new SomaError('killed', 'stop')
        const running = callOperation(
          evaluate,
          { url: page('text'), script },
          context({ signal: stop.signal, fetch: stopOnceOpen(stop, reason) }),
        )
        await expect(running).rejects.toBe(reason)
      }
      expect(await run('return 1')).toMatchObject({ value: 1 })
    })

    /** The page's own script is its last request; what comes after it is the endless one. */
    function stopOnceOpen(stop: AbortController, reason: unknown): typeof fetch {
      return async (input, init) => {
        const response = await egress.fetch(input, init)
        if (String(input).endsWith('/script')) setTimeout(() => stop.abort(reason), 500)
        return response
      }
    }
  })

  describe('egress rules hold', () => {
    test('for the page itself and wherever it redirects', async () => {
      for (const url of [`http://127.0.0.1:${trapPort}/`, page('inside'), page('to-file'), 'http://10.0.0.1/', 'http://[::1]/']) {
        await expect(callOperation(openPageText, { url }, context()), url).rejects.toMatchObject({ code: 'egress_blocked' })
      }
      expect(trapped).toBe(0)
    })

    test('for everything that a page can think of', async () => {
      const attempts = `
        const host = '127.0.0.1:' + argument
        const url = 'http://' + host + '/'
        const tried = {}
        const attempt = async (name, work) => {
          tried[name] = await Promise.race([Promise.resolve().then(work).then(() => 'done', (error) => 'failed'), new Promise((end) => setTimeout(end, 1500, 'silent'))])
        }
        const element = (tag, attributes) => new Promise((end, fail) => {
          const made = Object.assign(document.createElement(tag), attributes, { onload: end, onerror: fail })
          document.head.append(made)
        })
        await Promise.all([
          attempt('fetch', () => fetch(url)),
          attempt('no-cors', () => fetch(url, { mode: 'no-cors' })),
          attempt('put', () => fetch(url, { method: 'PUT', headers: { 'x-a': 'b' } })),
          attempt('redirect', () => fetch('/inside')),
          attempt('keepalive', () => fetch(url, { keepalive: true, method: 'POST', body: 'x' })),
          attempt('beacon', () => navigator.sendBeacon(url, 'x')),
          attempt('image', () => element('img', { src: url })),
          attempt('script', () => element('script', { src: url })),
          attempt('style', () => element('link', { rel: 'stylesheet', href: url })),
          attempt('preconnect', () => element('link', { rel: 'preconnect', href: url })),
          attempt('dns', () => element('link', { rel: 'dns-prefetch', href: url })),
          attempt('prefetch', () => element('link', { rel: 'prefetch', href: url })),
          attempt('frame', () => new Promise((end) => document.body.append(Object.assign(document.createElement('iframe'), { src: url, onload: end })))),
          attempt('frame redirect', () => document.body.append(Object.assign(document.createElement('iframe'), { src: '/inside' }))),
          attempt('popup', () => window.open(url)),
          attempt('popup redirect', () => window.open('/inside')),
          attempt('socket', () => new Promise((end, fail) => Object.assign(new WebSocket('ws://' + host), { onopen: end, onerror: fail }))),
          attempt('events', () => new Promise((end, fail) => Object.assign(new EventSource(url), { onopen: end, onerror: fail }))),
          attempt('transport', () => new WebTransport('https://' + host).ready),
          attempt('worker', () => new Promise((end) => {
            const source = 'fetch("' + url + '").finally(() => postMessage(1)); new WebSocket("ws://' + host + '"); importScripts("' + url + '")'
            new Worker(URL.createObjectURL(new Blob([source]))).onmessage = end
          })),
          attempt('shared worker', () => new SharedWorker(URL.createObjectURL(new Blob(['fetch("' + url + '"); new WebSocket("ws://' + host + '")'])))),
          attempt('peer', async () => {
            const peer = new RTCPeerConnection({ iceServers: [{ urls: ['stun:' + host, 'turn:' + host + '?transport=tcp'], username: 'a', credential: 'b' }] })
            peer.createDataChannel('x')
            await peer.setLocalDescription(await peer.createOffer())
            await new Promise((end) => (peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && end()))
          }),
          attempt('form', () => { const form = Object.assign(document.createElement('form'), { action: url, method: 'POST', target: '_blank' }); document.body.append(form); form.submit() }),
        ])
        return tried`
      // Some ways exist only where the page is secure; others only where it is not.
      const secure: typeof fetch = async (input, init) =>
        String(input) === 'https://secure.example/'
          ? new Response(html('secure'), { headers: { 'content-type': 'text/html' } })
          : egress.fetch(input, init)
      const reached = ['fetch', 'no-cors', 'put', 'redirect', 'image', 'script', 'socket', 'events', 'transport']
      for (const url of [page('text'), 'https://secure.example/']) {
        const { value } = await callOperation(evaluate, { url, script: attempts, argument: trapPort }, context({ fetch: secure }))
        const outcomes = z.record(z.string(), z.string()).parse(value)
        for (const name of reached) expect(outcomes[name], `${name} on ${url}`).toMatch(/failed|silent/)
        expect(trapped).toBe(0)
      }
      // The trap would have told.
      connect(trapPort, '127.0.0.1')
      udpTrap.send('x', trapPort, '127.0.0.1')
      await expect.poll(() => trapped).toBe(2)
    })

    test('no file is shown, and no service worker stays', async () => {
      const tried = await run(`
        location.href = 'file:///etc/passwd'
        document.body.append(Object.assign(document.createElement('iframe'), { src: 'file:///etc/passwd' }))
        await new Promise((end) => setTimeout(end, 300))
        const worker = await navigator.serviceWorker?.register('/worker').then((made) => made?.active ?? null, () => null)
        return [location.href, document.querySelector('iframe').contentDocument?.body?.innerText ?? '', worker ?? null]`)
      expect(tried.value).toEqual([page('text'), expect.not.stringContaining('root:'), null])
    })

    test('a redirect gives a page nothing to read that the other side keeps for itself', async () => {
      const read = 'return await fetch(argument).then((answer) => answer.text(), () => "refused")'
      expect(await run(read, { argument: '/to-secret' })).toMatchObject({
        value: 'refused',
        blocked: [{ message: expect.stringContaining('b.example') }],
      })
      expect(await run(read, { argument: '/to-public' })).toMatchObject({ value: 'public of b' })
      expect(await run(read, { argument: page('secret', 'b.example') })).toMatchObject({ value: 'refused' })

      const send = (path: string) =>
        run(
          'return fetch(argument, { method: "PUT", headers: { "x-a": "b" }, body: "x" }).then((answer) => answer.text(), () => "refused")',
          {
            argument: page(path, 'b.example'),
          },
        )
      expect(await send('counted')).toMatchObject({ value: 'refused', blocked: [{ message: expect.stringContaining('PUT') }] })
      expect(counted).toEqual(['OPTIONS'])
      expect(await send('open')).toMatchObject({ value: 'PUT' })

      const framed = await run(`
        const frame = Object.assign(document.createElement('iframe'), { src: '/to-secret' })
        document.body.append(frame)
        const text = () => { try { return frame.contentDocument?.body?.innerText ?? 'closed' } catch { return 'closed' } }
        for (let left = 50; left > 0 && text() !== 'closed'; left--) await new Promise((end) => setTimeout(end, 50))
        return text()`)
      expect(framed.value).toBe('closed')
    })
  })

  describe('the browser', () => {
    test('is one for the process, starts anew after it died, and ends with the adapter', async () => {
      const own = await connectBrowser()
      const first = await own.browser()
      expect(await own.browser()).toBe(first)
      await first.close()
      const second = await own.browser()
      expect([second === first, second.isConnected()]).toEqual([false, true])
      await own.close()
      expect(second.isConnected()).toBe(false)
    })

    test('started several times at once is one', async () => {
      const own = await connectBrowser()
      const [one, two] = await Promise.all([own.browser(), own.browser()])
      expect(one).toBe(two)
      await own.close()
    })
  })

  test('what rules see, and how a crash is settled', () => {
    for (const operation of playwrightAdapter.operations) {
      const input = operation.input.parse({
        url: 'https://example.com/x?secret',
        ...(operation.name === 'playwright.evaluate' && { script: 'return 1' }),
      })
      expect(operation.resource?.(input)).toEqual({ kind: 'http', scheme: 'https', host: 'example.com', port: 443, method: 'GET' })
      expect(operation.untrustedOutput).toBe(true)
      expect(operation.idempotency.kind).toBe(operation.effect === 'read' ? 'read' : 'none')
    }
  })
}
