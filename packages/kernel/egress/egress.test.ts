import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { SomaError } from '@soma/contracts/errors'
import fc from 'fast-check'
import { generate } from 'selfsigned'
import { afterEach, describe, expect, test } from 'vitest'
import { createEgress, type Egress, type EgressOptions } from './egress.ts'
import { egressRules } from './egress-rules.ts'

const ending: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end()
})

function egress(options: Partial<EgressOptions> = {}): Egress {
  const made = createEgress({ allowPrivate: [], maxBytes: 1_000_000, timeoutMilliseconds: 20_000, maxRedirects: 5, ...options })
  ending.push(() => made.close())
  return made
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  ending.push(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}
const serve = (answer: RequestListener) => listen(createServer(answer))

/** Answers with what it was asked, as JSON. */
async function echo(request: IncomingMessage, response: ServerResponse) {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  response.end(
    JSON.stringify({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(chunks).toString() }),
  )
}

async function refusal(attempt: Promise<unknown>): Promise<SomaError> {
  const error = await attempt.then(
    () => new Error('nothing was refused'),
    (thrown) => thrown,
  )
  if (!SomaError.is(error)) throw error
  return error
}

function thrownBy(attempt: () => void): SomaError {
  try {
    attempt()
  } catch (error) {
    if (SomaError.is(error)) return error
    throw error
  }
  throw new Error('nothing was refused')
}

const anywhere = { allowPrivate: ['127.0.0.0/8'] }

describe('what is not a public address is not reached', () => {
  test.each([
    ['http://127.0.0.1/', 'loopback'],
    ['http://10.1.2.3/', 'private'],
    ['http://172.31.0.1/', 'private'],
    ['http://192.168.1.1/', 'private'],
    ['http://169.254.7.7/', 'link_local'],
    ['http://169.254.169.254/', 'metadata'],
    ['http://168.63.129.16/', 'metadata'],
    ['http://100.100.100.200/', 'metadata'],
    ['http://100.64.0.1/', 'carrier_grade_nat'],
    ['http://0.0.0.0/', 'unspecified'],
    ['http://224.0.0.1/', 'multicast'],
    ['http://255.255.255.255/', 'broadcast'],
    ['http://192.0.2.1/', 'reserved'],
    ['http://198.18.0.1/', 'reserved'],
    ['http://203.0.113.9/', 'reserved'],
    ['http://240.0.0.1/', 'reserved'],
    ['http://[::1]/', 'loopback'],
    ['http://[::]/', 'unspecified'],
    ['http://[fe80::1]/', 'link_local'],
    ['http://[fd12::1]/', 'unique_local'],
    ['http://[fd00:ec2::254]/', 'metadata'],
    ['http://[ff02::1]/', 'multicast'],
    ['http://[2001:db8::1]/', 'reserved'],
    ['http://[3fff::1]/', 'reserved'],
    ['http://[::ffff:127.0.0.1]/', 'ipv4_mapped'],
    ['http://[::ffff:8.8.8.8]/', 'ipv4_mapped'],
    ['http://[::ffff:169.254.169.254]/', 'metadata'],
    ['http://[::7f00:1]/', 'reserved'],
    ['http://[64:ff9b::7f00:1]/', 'nat64'],
    ['http://[64:ff9b:1::7f00:1]/', 'nat64'],
    ['http://[2002:7f00:1::]/', '6to4'],
    ['http://[2001:0:7f00:1::]/', 'teredo'],
    ['http://[fec0::1]/', 'deprecated_site_local'],
  ])('%s is refused as %s', (url, rule) => {
    const error = thrownBy(() => egressRules({ allowPrivate: [] }).checkUrl(new URL(url)))
    expect(error).toMatchObject({ code: 'egress_blocked', details: { rule, host: expect.any(String), address: expect.any(String) } })
    expect(error.message).toContain(String(error.details.host))
  })

  test('however an IPv4 address is written, it is the same address', async () => {
    const { fetch } = egress()
    const parts = fc.tuple(fc.constantFrom(10, 127), fc.nat(255), fc.nat(255), fc.nat(255))
    const spelling = fc.constantFrom(
      (a: number, b: number, c: number, d: number) => `${((a * 256 + b) * 256 + c) * 256 + d}`,
      (a: number, b: number, c: number, d: number) => `0x${(((a * 256 + b) * 256 + c) * 256 + d).toString(16)}`,
      (a: number, b: number, c: number, d: number) => [a, b, c, d].map((part) => `0${part.toString(8)}`).join('.'),
      (a: number, b: number, c: number, d: number) => [a, b, c, d].map((part) => `0x${part.toString(16)}`).join('.'),
      (a: number, b: number, c: number, d: number) => `${a}.${b}.${c * 256 + d}`,
      (a: number, b: number, c: number, d: number) => `${a}.${(b * 256 + c) * 256 + d}`,
      (a: number, b: number, c: number, d: number) => `${a}.${b}.${c}.${d}.`,
      (a: number, b: number, c: number, d: number) => `${a}。${b}．${c}｡${d}`,
    )
    await fc.assert(
      fc.asyncProperty(parts, spelling, async ([a, b, c, d], spell) => {
        const error = await refusal(fetch(`http://${spell(a, b, c, d)}/`))
        expect(error).toMatchObject({ code: 'egress_blocked', details: { address: `${a}.${b}.${c}.${d}` } })
      }),
    )
  })

  test('a name that leads there is refused, also with a final dot and in capitals', async () => {
    for (const host of ['localhost', 'LOCALHOST', 'localhost.']) {
      expect(await refusal(egress().fetch(`http://${host}:8099/`))).toMatchObject({
        code: 'egress_blocked',
        details: { rule: 'loopback', host: 'localhost' },
      })
    }
  })

  test('one private address among public ones is enough to refuse', async () => {
    const lookup = async () => [
      { address: '93.184.215.14', family: 4 },
      { address: '10.0.0.7', family: 4 },
    ]
    expect(await refusal(egress({ lookup }).fetch('http://mixed.example/'))).toMatchObject({
      code: 'egress_blocked',
      details: { host: 'mixed.example', address: '10.0.0.7', rule: 'private' },
    })
  })

  test('other schemes, credentials in the URL, ports of other protocols and what is no URL are refused', async () => {
    const { fetch } = egress(anywhere)
    for (const url of ['file:///etc/passwd', 'ftp://example.com/', 'data:text/plain,x', 'gopher://example.com/', 'blob:http://x/1']) {
      expect(await refusal(fetch(url))).toMatchObject({ code: 'egress_blocked', details: { rule: 'scheme' } })
    }
    expect(await refusal(fetch(['http://me', 'secret@example.com/'].join(':')))).toMatchObject({
      code: 'egress_blocked',
      details: { rule: 'credentials' },
    })
    expect(await refusal(fetch('http://127.0.0.1:25/'))).toMatchObject({ code: 'egress_blocked', details: { rule: 'port' } })
    for (const url of ['', '/relative', 'http://', 'http://1.2.3.4.5/', 'http://300.1.1.1/']) {
      expect(await refusal(fetch(url)), url).toMatchObject({ code: 'invalid_input' })
    }
  })
})

describe('exceptions', () => {
  test('an address, a range, host:port and name:port open exactly what they name', async () => {
    const port = await serve(echo)
    const other = await serve(echo)
    for (const entry of ['127.0.0.1', '127.0.0.0/30', `127.0.0.1:${port}`]) {
      expect((await egress({ allowPrivate: [entry] }).fetch(`http://127.0.0.1:${port}/`)).status).toBe(200)
    }
    const named = egress({ allowPrivate: [`LocalHost.:${port}`], lookup: async () => [{ address: '127.0.0.1', family: 4 }] })
    expect((await named.fetch(`http://localhost:${port}/`)).status).toBe(200)
    expect((await named.fetch(`http://localhost.:${port}/`)).status).toBe(200)
    expect(await refusal(named.fetch(`http://localhost:${other}/`))).toMatchObject({ code: 'egress_blocked' })
    expect(await refusal(named.fetch(`http://else.example:${port}/`))).toMatchObject({ code: 'egress_blocked' })
    expect(await refusal(named.fetch(`http://127.0.0.1:${port}/`))).toMatchObject({ code: 'egress_blocked' })
  })

  test('a range does not open the metadata endpoint inside it; its own address does', async () => {
    // On the rules alone: where a cloud really answers there, a test must never call it.
    const wide = egressRules({ allowPrivate: ['0.0.0.0/0', '::/0', 'meta.example:80'] })
    for (const url of ['http://169.254.169.254/', 'http://[::ffff:a9fe:a9fe]/']) {
      expect(thrownBy(() => wide.checkUrl(new URL(url)))).toMatchObject({ code: 'egress_blocked', details: { rule: 'metadata' } })
    }
    const byName = thrownBy(() => wide.checkAddress('169.254.169.254', 'meta.example', 80))
    expect(byName).toMatchObject({ code: 'egress_blocked', details: { rule: 'metadata', host: 'meta.example' } })
    const meant = egressRules({ allowPrivate: ['169.254.169.254:80'] })
    expect(() => meant.checkUrl(new URL('http://169.254.169.254/'))).not.toThrow()
    expect(() => meant.checkUrl(new URL('http://169.254.169.254:81/'))).toThrow(/metadata/)
  })

  test('lists of hosts: denied wins over allowed, a wildcard covers what is below, names compare in one spelling', async () => {
    const port = await serve(echo)
    const lookup = async () => [{ address: '127.0.0.1', family: 4 }]
    const { fetch } = egress({
      ...anywhere,
      lookup,
      allowHosts: ['*.example.com', 'bücher.example', '127.0.0.1'],
      denyHosts: ['bad.example.com', '*.bad.example.com'],
    })
    for (const host of ['a.example.com', 'a.b.example.com', 'A.Example.COM.', 'xn--bcher-kva.example', 'BÜCHER.example', '127.0.0.1']) {
      expect((await fetch(`http://${host}:${port}/`)).status, host).toBe(200)
    }
    for (const host of ['example.com', 'notexample.com', 'example.com.evil.example', 'other.example', '127.0.0.2']) {
      expect(await refusal(fetch(`http://${host}:${port}/`)), host).toMatchObject({ details: { rule: 'allow_hosts' } })
    }
    for (const host of ['bad.example.com', 'bad.example.com.', 'x.bad.example.com']) {
      expect(await refusal(fetch(`http://${host}:${port}/`)), host).toMatchObject({ details: { rule: 'deny_hosts' } })
    }
  })

  test.each(['', 'localhost', 'localhost:0', 'localhost:99999', 'http://x:80', 'a b:80', '10.0.0.0/33', 'me@host:80'])(
    'an exception "%s" is refused with how to write one',
    (entry) => {
      expect(() => egress({ allowPrivate: [entry] })).toThrow(/host:port/)
    },
  )
  test.each(['', '*.', 'http://x', 'x:80', 'a/b', '*'])('a host "%s" is refused with how to write one', (entry) => {
    expect(() => egress({ denyHosts: [entry] })).toThrow(/is not a host/)
  })
})

describe('DNS rebinding', () => {
  test('the address that was checked is the address connected to', async () => {
    const port = await serve(echo)
    const answers = ['127.0.0.1', '127.0.0.3', '127.0.0.3']
    let lookups = 0
    const { fetch } = egress({
      allowPrivate: ['127.0.0.1'],
      lookup: async () => [{ address: answers[lookups++] ?? 'unused', family: 4 }],
    })
    // The first answer is checked and connected to; no second lookup happens in between.
    const response = await fetch(`http://rebind.example:${port}/`, { headers: { connection: 'close' } })
    expect(response.status).toBe(200)
    expect(lookups).toBe(1)
  })

  test('a later connection is checked anew', async () => {
    const port = await serve((_request, response) => response.setHeader('connection', 'close').end('ok'))
    const answers = ['127.0.0.1', '127.0.0.2']
    const { fetch } = egress({ allowPrivate: ['127.0.0.1'], lookup: async () => [{ address: answers.shift() ?? '', family: 4 }] })
    expect(await (await fetch(`http://rebind.example:${port}/`)).text()).toBe('ok')
    expect(await refusal(fetch(`http://rebind.example:${port}/`))).toMatchObject({
      code: 'egress_blocked',
      details: { address: '127.0.0.2' },
    })
  })
})

describe('redirects', () => {
  const redirect = (status: number, location: string) =>
    serve((request, response) => {
      request.resume()
      response.writeHead(status, { location }).end('moved')
    })

  test('each hop is checked: an allowed host can not send a request inside', async () => {
    const inside = await serve(echo)
    for (const target of [
      `http://127.0.0.2:${inside}/`,
      'http://127.0.0.3/',
      'http://localhost:1234/',
      'file:///etc/passwd',
      'http://a:b@x.example/',
    ]) {
      const port = await redirect(302, target)
      expect(
        await refusal(
          egress({ allowPrivate: ['127.0.0.1'], lookup: async () => [{ address: '::1', family: 6 }] }).fetch(`http://127.0.0.1:${port}/`),
        ),
        target,
      ).toMatchObject({
        code: 'egress_blocked',
      })
    }
  })

  test.each([
    [301, 'POST', 'GET', ''],
    [302, 'POST', 'GET', ''],
    [303, 'POST', 'GET', ''],
    [303, 'PUT', 'GET', ''],
    [302, 'PUT', 'PUT', 'body'],
    [307, 'POST', 'POST', 'body'],
    [308, 'POST', 'POST', 'body'],
  ])('%s of a %s is followed by a %s', async (status, method, followed, body) => {
    const port = await serve((request, response) => {
      if (request.url === '/target') return echo(request, response)
      request.resume()
      response.writeHead(status, { location: '/target' }).end()
    })
    const response = await egress(anywhere).fetch(`http://127.0.0.1:${port}/start#part`, { method, body: 'body' })
    const got = (await response.json()) as { method: string; body: string; headers: Record<string, string> }
    expect(got).toMatchObject({ method: followed, body })
    expect('content-type' in got.headers).toBe(body !== '')
    expect(response).toMatchObject({ redirected: true, url: `http://127.0.0.1:${port}/target` })
  })

  test('Authorization and cookies stay with the origin they were given for', async () => {
    const headers = { authorization: 'Bearer secret', cookie: 'a=b', 'x-kept': 'yes' }
    const target = await serve(echo)
    const across = await redirect(307, `http://127.0.0.1:${target}/`)
    const got = (await (await egress(anywhere).fetch(`http://127.0.0.1:${across}/`, { headers })).json()) as { headers: object }
    expect(got.headers).toMatchObject({ 'x-kept': 'yes' })
    expect(got.headers).not.toHaveProperty('authorization')
    expect(got.headers).not.toHaveProperty('cookie')

    const within = await serve((request, response) =>
      request.url === '/' ? response.writeHead(307, { location: '/x' }).end() : echo(request, response),
    )
    const kept = (await (await egress(anywhere).fetch(`http://127.0.0.1:${within}/`, { headers })).json()) as { headers: object }
    expect(kept.headers).toMatchObject(headers)
  })

  test('too many, manual, error, and a location that is no URL', async () => {
    const { fetch } = egress(anywhere)
    const around = `http://127.0.0.1:${await redirect(302, '/again')}/`
    expect(await refusal(fetch(around))).toMatchObject({ code: 'tool_failed', message: expect.stringContaining('more than 5 times') })
    const manual = await fetch(around, { redirect: 'manual' })
    expect([manual.status, manual.headers.get('location'), manual.redirected]).toEqual([302, '/again', false])
    expect(await refusal(fetch(around, { redirect: 'error' }))).toMatchObject({ code: 'tool_failed' })
    expect(await refusal(fetch(`http://127.0.0.1:${await redirect(302, 'http://')}/`))).toMatchObject({ code: 'tool_failed' })
  })
})

describe('limits', () => {
  test('a body over the limit is cut while it streams, counted as unpacked', async () => {
    let sent = 0
    const endless = await serve((_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536
      }
      response.on('drain', more)
      more()
    })
    const packed = await serve((_request, response) =>
      response.setHeader('content-encoding', 'gzip').end(gzipSync(Buffer.alloc(5_000_000))),
    )
    for (const port of [endless, packed]) {
      const response = await egress(anywhere).fetch(`http://127.0.0.1:${port}/`)
      expect(await refusal(response.text())).toMatchObject({
        code: 'tool_failed',
        details: { maxBytes: 1_000_000 },
        message: expect.stringContaining('1000000 bytes'),
      })
    }
    expect(sent).toBeLessThan(50_000_000)
  })

  test('a body of exactly the limit passes, whatever it holds', async () => {
    const content = Buffer.from(Array.from({ length: 1000 }, (_, at) => at % 256))
    const port = await serve((_request, response) => response.end(content))
    const response = await egress({ ...anywhere, maxBytes: 1000 }).fetch(`http://127.0.0.1:${port}/`)
    expect(Buffer.from(await response.arrayBuffer()).equals(content)).toBe(true)
  })

  test('no answer, and a body that does not end, meet the time-out', async () => {
    const silent = await serve(() => {})
    const slow = await serve((_request, response) => response.write('begins'))
    const { fetch } = egress({ ...anywhere, timeoutMilliseconds: 200 })
    expect(await refusal(fetch(`http://127.0.0.1:${silent}/`))).toMatchObject({
      code: 'tool_timeout',
      details: { timeoutMilliseconds: 200 },
    })
    const response = await fetch(`http://127.0.0.1:${slow}/`)
    expect(await refusal(response.text())).toMatchObject({ code: 'tool_timeout' })
    const { fetch: lost } = egress({ lookup: () => new Promise(() => {}), timeoutMilliseconds: 200 })
    expect(await refusal(lost('http://never.example/'))).toMatchObject({ code: 'tool_timeout' })
  })

  test('the caller aborts with the reason of its own, before, during and in the body', async () => {
    const slow = `http://127.0.0.1:${await serve((request, response) => (request.url === '/body' ? response.write('begins') : undefined))}`
    const { fetch } = egress(anywhere)
    const reason = new SomaError('killed', 'stop')
    expect(await refusal(fetch(slow, { signal: AbortSignal.abort(reason) }))).toBe(reason)
    const during = new AbortController()
    const waiting = refusal(fetch(slow, { signal: during.signal }))
    during.abort(reason)
    expect(await waiting).toBe(reason)
    const late = new AbortController()
    const response = await fetch(new Request(`${slow}/body`, { signal: late.signal }))
    late.abort(reason)
    expect(await refusal(response.text())).toBe(reason)
  })
})

describe('what goes out is what was asked for', () => {
  test('bodies of every kind arrive; the Host header can not lead elsewhere', async () => {
    const port = await serve(echo)
    const { fetch } = egress(anywhere)
    const form = new FormData()
    form.set('field', 'välue')
    const bodies: [RequestInit['body'], string][] = [
      ['täxt', 'täxt'],
      [new Uint8Array([104, 105]), 'hi'],
      [new URLSearchParams({ a: 'b c' }), 'a=b+c'],
      [new Blob(['blob']), 'blob'],
      [ReadableStream.from([new TextEncoder().encode('stream')]), 'stream'],
      [form, 'välue'],
    ]
    for (const [body, expected] of bodies) {
      const init = { method: 'POST', body, headers: { host: 'other.example', 'transfer-encoding': 'chunked' } }
      const got = (await (await fetch(new URL(`http://127.0.0.1:${port}/`), init)).json()) as {
        body: string
        headers: Record<string, string>
      }
      expect(got.body).toContain(expected)
      expect(got.headers.host).toBe(`127.0.0.1:${port}`)
    }
    const viaRequest = new Request(`http://127.0.0.1:${port}/r`, { method: 'PUT', body: '1', headers: { 'x-a': 'b' } })
    expect(await (await fetch(viaRequest)).json()).toMatchObject({ method: 'PUT', body: '1', headers: { 'x-a': 'b' } })
    expect(await refusal(fetch(`http://127.0.0.1:${port}/`, { method: 'POST', body: Buffer.alloc(1_000_001) }))).toMatchObject({
      code: 'invalid_input',
    })
    expect(await refusal(fetch(`http://127.0.0.1:${port}/`, { headers: { 'bad header': '1' } }))).toMatchObject({ code: 'invalid_input' })
    expect(await refusal(fetch(`http://127.0.0.1:${port}/`, { body: 'x' }))).toMatchObject({ code: 'invalid_input' })
  })

  test('answers without a body, and several cookies, come through', async () => {
    const port = await serve((request, response) =>
      response
        .writeHead(
          request.url === '/204' ? 204 : 200,
          [
            ['set-cookie', 'a=1'],
            ['set-cookie', 'b=2'],
          ].flat(),
        )
        .end(),
    )
    const { fetch } = egress(anywhere)
    const empty = await fetch(`http://127.0.0.1:${port}/204`)
    expect([empty.status, empty.body, empty.headers.getSetCookie()]).toEqual([204, null, ['a=1', 'b=2']])
    expect(await (await fetch(`http://127.0.0.1:${port}/`, { method: 'HEAD' })).text()).toBe('')
  })
})

describe('faults come as sentences', () => {
  test('no such name', async () => {
    const lookup = async () => {
      throw Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' })
    }
    const error = await refusal(egress({ lookup }).fetch('http://nowhere.example/'))
    expect(error).toMatchObject({
      code: 'tool_unavailable',
      message: 'There is no host named nowhere.example.',
      details: { cause: 'ENOTFOUND' },
    })
    expect(await refusal(egress({ lookup: async () => [] }).fetch('http://empty.example/'))).toMatchObject({ code: 'tool_unavailable' })
  })

  test('a refused connection', async () => {
    const port = await serve(echo)
    await ending.pop()?.()
    expect(await refusal(egress(anywhere).fetch(`http://127.0.0.1:${port}/`))).toMatchObject({
      code: 'tool_unavailable',
      message: '127.0.0.1 refused the connection: nothing listens there.',
    })
  })

  test('a connection that is cut before and in the body', async () => {
    const port = await serve((request, response) => {
      if (request.url === '/early') return request.socket.destroy()
      response.writeHead(200, { 'content-length': 1000 }).write('part')
      setImmediate(() => request.socket.destroy())
    })
    const { fetch } = egress(anywhere)
    expect(await refusal(fetch(`http://127.0.0.1:${port}/early`))).toMatchObject({
      code: 'tool_failed',
      message: expect.stringContaining('broke off'),
    })
    const response = await fetch(`http://127.0.0.1:${port}/`)
    expect(await refusal(response.text())).toMatchObject({ code: 'tool_failed', message: expect.stringContaining('broke off') })
  })

  test('a certificate that nobody vouches for', async () => {
    const { private: key, cert } = await generate([{ name: 'commonName', value: 'localhost' }])
    const port = await listen(createSecureServer({ key, cert }, echo))
    expect(await refusal(egress(anywhere).fetch(`https://127.0.0.1:${port}/`))).toMatchObject({
      code: 'tool_unavailable',
      message: expect.stringContaining('No trusted TLS connection to 127.0.0.1'),
    })
  })
})
