import { once } from 'node:events'
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { type OpenAiOptions, openOpenAiModels } from './openai.ts'
import type { ChatRequest, Models } from './port.ts'

/** Faults that a healthy server does not show; what the driver does with a real one is in `openai.stack.test.ts`. */
let server: Server | undefined
let models: Models | undefined
afterEach(async () => {
  await models?.close()
  await new Promise((closed) => server?.close(closed).closeAllConnections())
})

const KEY = 'sk-secret-0123456789'
const HELLO: ChatRequest = { messages: [{ role: 'user', content: 'Hello?' }] }

async function openAgainst(answer: RequestListener, options: Partial<OpenAiOptions> = {}): Promise<Models> {
  server = createServer((request, response) => {
    request.resume()
    answer(request, response)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`
  models = openOpenAiModels({ url, apiKey: KEY, chatModel: 'm', embeddingModel: 'm', ...options })
  return models
}

function sendError(response: ServerResponse, status: number, message: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'abc', ...headers })
  response.end(JSON.stringify({ error: { message, type: 'error', code: null, param: null } }))
}

function sendChunk(response: ServerResponse, delta: object, finish: string | null = null): void {
  const chunk = { id: '1', object: 'chat.completion.chunk', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] }
  response.write(`data: ${JSON.stringify(chunk)}\n\n`)
}

function sendAnswer(response: ServerResponse): void {
  sendChunk(response, { content: 'Hi' })
  sendChunk(response, {}, 'stop')
  response.end('data: [DONE]\n\n')
}

async function read(request: ChatRequest = HELLO): Promise<string[]> {
  const parts: string[] = []
  for await (const part of (models as Models).chat(request)) parts.push(part.type === 'text' ? part.text : part.finish)
  return parts
}

const failing = (work: Promise<unknown>): Promise<Error> =>
  work.then(
    () => new Error('it passed'),
    (error) => error,
  )

describe('before the first token', () => {
  test.each([429, 503])('a server that answers %i is asked again when it says, and then answers', async (status) => {
    let asked = 0
    await openAgainst((_, response) => (++asked < 3 ? sendError(response, status, 'busy', { 'retry-after': '0' }) : sendAnswer(response)))
    expect(await read()).toEqual(['Hi', 'stop'])
    expect(asked).toBe(3)
  })

  test('a connection that is cut is tried again', async () => {
    let asked = 0
    await openAgainst((request, response) => (++asked === 1 ? request.socket.destroy() : sendAnswer(response)))
    expect(await read()).toEqual(['Hi', 'stop'])
    expect(asked).toBe(2)
  })

  test('a server that wants us to wait for long is not waited for: how long is in the error', async () => {
    let asked = 0
    await openAgainst((_, response) => {
      asked++
      sendError(response, 429, 'Too many tokens a minute.', { 'retry-after': '17' })
    })
    await expect(read()).rejects.toMatchObject({
      code: 'rate_limited',
      message: expect.stringContaining('Too many tokens a minute'),
      details: { status: 429, retryAfterSeconds: 17, requestId: 'abc' },
    })
    expect(asked).toBe(1)
  })

  test('a date to come back at is told in seconds', async () => {
    const inAMinute = new Date(Date.now() + 60_000).toUTCString()
    await openAgainst((_, response) => sendError(response, 429, 'busy', { 'retry-after': inAMinute }))
    const { details } = (await failing(read())) as Error & { details?: { retryAfterSeconds: number } }
    expect(details?.retryAfterSeconds).toBeGreaterThan(50)
    expect(details?.retryAfterSeconds).toBeLessThanOrEqual(60)
  })

  test('an error of the server is not asked for again, and keeps status and request id, but never the key', async () => {
    let asked = 0
    await openAgainst((_, response) => {
      asked++
      sendError(response, 500, `It broke with ${KEY} in hand.`)
    })
    const error = await failing(read())
    expect(error).toMatchObject({ code: 'dependency_unavailable', details: { status: 500, requestId: 'abc' } })
    expect(error.message).toContain('It broke with [secret] in hand')
    expect(asked).toBe(1)
  })

  test('a server that takes the call and says nothing is given up', async () => {
    await openAgainst(() => undefined, { patience: { word: 100, answer: 100, token: 100 } })
    const late = { code: 'dependency_unavailable', message: expect.stringContaining('did not answer within 0.1 s') }
    await expect(read()).rejects.toMatchObject(late)
    await expect(models?.embed({ texts: ['a'] })).rejects.toMatchObject(late)
    await expect(models?.list()).rejects.toMatchObject(late)
  })

  test('an address that leads elsewhere is told from a model that is not there', async () => {
    await openAgainst((_, response) => response.writeHead(404).end('<html>Not here</html>'))
    const elsewhere = { code: 'dependency_unavailable', message: expect.stringContaining('end with /v1?') }
    await expect(read()).rejects.toMatchObject(elsewhere)
    await expect(models?.list()).rejects.toMatchObject(elsewhere)
  })

  test('an answer that is not JSON says so', async () => {
    await openAgainst((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Welcome</html>'))
    const nonsense = { code: 'dependency_unavailable', message: expect.stringContaining('not the OpenAI API') }
    await expect(models?.embed({ texts: ['a'] })).rejects.toMatchObject(nonsense)
    await expect(models?.list()).rejects.toMatchObject(nonsense)
  })
})

describe('in the middle of an answer', () => {
  test.each([
    ['cuts the connection', (response: ServerResponse) => response.socket?.destroy()],
    ['ends without a finish reason', (response: ServerResponse) => response.end()],
    ['sends nonsense', (response: ServerResponse) => response.end('data: {"choices": 7}\n\n')],
    ['sends an error', (response: ServerResponse) => response.end('data: {"error": {"message": "out of memory"}}\n\n')],
  ])('a server that %s is an error, not a short answer, and is not asked again', async (_, then) => {
    let asked = 0
    await openAgainst((_request, response) => {
      asked++
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      sendChunk(response, { content: 'Hi' })
      setImmediate(() => then(response))
    })
    await expect(read()).rejects.toMatchObject({ code: 'dependency_unavailable' })
    expect(asked).toBe(1)
  })

  test('an error in the stream counts as what its code says', async () => {
    await openAgainst((_, response) => response.end('data: {"error": {"message": "prompt too long", "code": 400}}\n\n'))
    await expect(read()).rejects.toMatchObject({ code: 'invalid_input', message: expect.stringContaining('prompt too long') })
  })

  test('a server that falls silent is given up', async () => {
    await openAgainst((_, response) => sendChunk(response, { content: 'Hi' }), { patience: { word: 100, answer: 10_000, token: 100 } })
    await expect(read()).rejects.toMatchObject({ code: 'dependency_unavailable', message: expect.stringContaining('within 0.1 s') })
  })

  test('a reader that takes its time is not taken for a server that is silent', async () => {
    await openAgainst((_, response) => sendAnswer(response), { patience: { word: 50, answer: 10_000, token: 50 } })
    const parts = (models as Models).chat(HELLO)[Symbol.asyncIterator]()
    await parts.next()
    await new Promise((passed) => setTimeout(passed, 150))
    expect(await parts.next()).toMatchObject({ value: { type: 'end' } })
  })

  test.each(['signal', 'break'])('the connection is closed when the caller stops by a %s', async (by) => {
    const stopper = new AbortController()
    let closed: Promise<unknown> | undefined
    await openAgainst((_, response) => {
      closed = once(response, 'close')
      sendChunk(response, { content: 'Hi' })
    })
    const reading = (async () => {
      for await (const _ of (models as Models).chat({ ...HELLO, signal: stopper.signal })) {
        if (by === 'break') return
        stopper.abort(new Error('enough'))
      }
    })()
    await (by === 'break' ? reading : expect(reading).rejects.toThrow('enough'))
    await closed
  })
})

test('without a name the first model that the server lists is taken, and asked for once', async () => {
  const asked: string[] = []
  await openAgainst(
    (request, response) => {
      asked.push(request.url as string)
      if (request.url === '/v1/models') response.end(JSON.stringify({ object: 'list', data: [{ id: 'one' }, { id: 'two' }] }))
      else sendAnswer(response)
    },
    { chatModel: undefined },
  )
  for (let call = 0; call < 2; call++)
    for await (const part of (models as Models).chat(HELLO)) if (part.type === 'end') expect(part.model).toBe('one')
  expect(asked).toEqual(['/v1/models', '/v1/chat/completions', '/v1/chat/completions'])
})

test('a server that does not count tokens leaves the usage open', async () => {
  await openAgainst((_, response) => sendAnswer(response))
  for await (const part of (models as Models).chat(HELLO))
    if (part.type === 'end') expect(part.usage).toEqual({ prompt: undefined, completion: undefined })
})
