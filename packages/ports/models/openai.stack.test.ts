import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, test } from 'vitest'
import { fromStack } from '../testing.ts'
import { modelsConformance } from './conformance.ts'
import { openOpenAiModels } from './openai.ts'

const options = () => ({
  url: fromStack('SOMA_MODELS_URL'),
  apiKey: fromStack('SOMA_MODELS_API_KEY'),
  chatModel: fromStack('SOMA_MODELS_CHAT_MODEL'),
  embeddingModel: fromStack('SOMA_MODELS_EMBEDDING_MODEL'),
})

modelsConformance('openai', async () => openOpenAiModels(options()))

describe('on Ray Serve', () => {
  const running = async () => {
    const { url, apiKey } = options()
    const answer = await fetch(`${url}/running`, { headers: { authorization: `Bearer ${apiKey}` } })
    return ((await answer.json()) as { chats: number }).chats
  }

  test('a cancelled chat is generated no further', async () => {
    const models = openOpenAiModels(options())
    const stopper = new AbortController()
    const messages = [{ role: 'user' as const, content: 'Count from one to a thousand, in words.' }]
    const parts = models.chat({ messages, temperature: 0, maxTokens: 1900, signal: stopper.signal })[Symbol.asyncIterator]()
    await parts.next()
    expect(await running()).toBeGreaterThan(0)
    stopper.abort(new Error('enough'))
    await expect(parts.next()).rejects.toThrow('enough')
    // Far sooner than 1900 tokens are generated.
    await expect.poll(running, { timeout: 10_000 }).toBe(0)
    await models.close()
  })

  test('a wrong key is refused, and is not in the error', async () => {
    const models = openOpenAiModels({ ...options(), apiKey: 'sk-wrong-0123456789' })
    const error = await models.list().then(
      () => new Error('it passed'),
      (thrown: Error) => thrown,
    )
    expect(error).toMatchObject({
      code: 'dependency_unavailable',
      details: { status: 401, retryable: false, requestId: expect.any(String) },
    })
    expect(error.message).toContain('SOMA_MODELS_API_KEY')
    expect(JSON.stringify([error, error.message, error.stack])).not.toContain('sk-wrong')
    await models.close()
  })

  test('a request that only the server can judge is refused with what it says', async () => {
    const models = openOpenAiModels(options())
    const messages = [{ role: 'user' as const, content: 'word '.repeat(5000) }]
    const reading = models.chat({ messages, maxTokens: 5 })[Symbol.asyncIterator]().next()
    await expect(reading).rejects.toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/context/),
      details: { status: 400 },
    })
    await models.close()
  })

  test('a server that is away is an error that says what to do, after a few attempts', async () => {
    const nobody = createServer().listen(0, '127.0.0.1')
    await once(nobody, 'listening')
    const { port } = nobody.address() as { port: number }
    await new Promise((closed) => nobody.close(closed))
    const models = openOpenAiModels({ ...options(), url: `http://127.0.0.1:${port}/v1` })
    const began = performance.now()
    const away = { code: 'dependency_unavailable', message: expect.stringContaining('SOMA_MODELS_URL') }
    await expect(models.version()).rejects.toMatchObject(away)
    await expect(models.embed({ texts: ['a'] })).rejects.toMatchObject(away)
    await expect(
      models
        .chat({ messages: [{ role: 'user', content: 'a' }] })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toMatchObject(away)
    expect(performance.now() - began).toBeLessThan(20_000)
    await models.close()
  })
})
