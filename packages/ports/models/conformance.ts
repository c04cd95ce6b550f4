import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ChatEnd, ChatRequest, Models } from './port.ts'

const HELLO: ChatRequest = {
  messages: [{ role: 'user', content: 'Tell me about the sea in three sentences.' }],
  temperature: 0,
  maxTokens: 40,
}

interface Answer {
  texts: string[]
  text: string
  end: ChatEnd
}

/** The whole answer; every part must come where it belongs. */
async function answerOf(models: Models, request: ChatRequest): Promise<Answer> {
  const texts: string[] = []
  let end: ChatEnd | undefined
  for await (const part of models.chat(request)) {
    expect(end, 'something came after the end').toBeUndefined()
    if (part.type === 'text') texts.push(part.text)
    else end = part
  }
  return { texts, text: texts.join(''), end: end as ChatEnd }
}

function cosine(one: readonly number[], other: readonly number[]): number {
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, index) => sum + value * (b[index] as number), 0)
  return dot(one, other) / Math.sqrt(dot(one, one) * dot(other, other))
}

/** What every models driver promises, on a server with one model for chat and one for embeddings. */
export function modelsConformance(driver: string, open: () => Promise<Models>): void {
  describe(`models: ${driver}`, () => {
    let models: Models
    beforeAll(async () => {
      models = await open()
    })
    afterAll(() => models.close())

    test('the server says its version and lists its models', async () => {
      expect(await models.version()).not.toBe('')
      expect((await models.list()).length).toBeGreaterThan(0)
    })

    describe('chat', () => {
      test('text streams in many parts, the first long before the last, and an end closes it', async () => {
        const arrivals: number[] = []
        let last: string | undefined
        for await (const part of models.chat(HELLO)) {
          if (part.type === 'text') arrivals.push(performance.now())
          last = part.type
        }
        expect(arrivals.length).toBeGreaterThan(10)
        const [first = 0, middle = 0, end = 0] = [arrivals[0], arrivals[Math.floor(arrivals.length / 2)], arrivals.at(-1)]
        expect(middle).toBeGreaterThan(first)
        expect(end).toBeGreaterThan(middle)
        expect(last).toBe('end')
      })

      test('at temperature 0 the same question gets the same answer', async () => {
        const [first, second] = [await answerOf(models, HELLO), await answerOf(models, HELLO)]
        expect(first.text).not.toBe('')
        expect(second.text).toBe(first.text)
      })

      test('maxTokens holds, and the usage counts what was generated', async () => {
        const { end, texts } = await answerOf(models, { ...HELLO, maxTokens: 7 })
        expect(end).toMatchObject({ finish: 'length', usage: { completion: 7 } })
        expect(texts.length).toBeLessThanOrEqual(7)
        expect(await models.list()).toContain(end.model)
      })

      test('every message of the conversation is read: what came before counts as prompt, and changes the answer', async () => {
        const [question] = HELLO.messages
        const alone = await answerOf(models, HELLO)
        const later = await answerOf(models, {
          ...HELLO,
          messages: [
            { role: 'system', content: 'You only speak about bread and butter.' },
            { role: 'user', content: 'Who are you?' },
            { role: 'assistant', content: 'I am a baker who bakes bread.' },
            question as (typeof HELLO.messages)[number],
          ],
        })
        expect(later.end.usage.prompt).toBeGreaterThan((alone.end.usage.prompt as number) + 10)
        expect(later.text).not.toBe(alone.text)
      })

      test('the answer ends before a stop text', async () => {
        const { text } = await answerOf(models, HELLO)
        const stop = text.slice(20, 26)
        const stopped = await answerOf(models, { ...HELLO, stop: [stop] })
        expect(stopped.text).toBe(text.slice(0, text.indexOf(stop)))
        expect(stopped.end.finish).toBe('stop')
      })

      test('text of any script comes back whole', async () => {
        const { text } = await answerOf(models, {
          messages: [{ role: 'user', content: 'Repeat exactly: äöü 東京 🦊 «naïve»' }],
          temperature: 0,
          maxTokens: 40,
        })
        expect(text).not.toContain('\uFFFD')
      })

      test('a signal ends the call with its reason, also in the middle of the answer', async () => {
        const enough = new Error('enough')
        const stopper = new AbortController()
        let parts = 0
        const reading = async () => {
          for await (const part of models.chat({ ...HELLO, maxTokens: 500, signal: stopper.signal })) {
            expect(part.type).toBe('text')
            if (++parts === 3) stopper.abort(enough)
          }
        }
        await expect(reading()).rejects.toBe(enough)
        expect(parts).toBe(3)
        await expect(answerOf(models, { ...HELLO, signal: AbortSignal.abort(enough) })).rejects.toBe(enough)
      })

      test('who stops reading leaves nothing behind that keeps others from being answered', async () => {
        for (let call = 0; call < 10; call++) for await (const _ of models.chat({ ...HELLO, maxTokens: 1000 })) break
        expect((await answerOf(models, { ...HELLO, maxTokens: 3 })).end.usage.completion).toBe(3)
      })

      test('32 calls at once are all answered', async () => {
        const asked = Array.from({ length: 32 }, (_, index) => ({
          messages: [{ role: 'user' as const, content: `Say the number ${index}.` }],
          temperature: 0,
          maxTokens: 4,
        }))
        const answers = await Promise.all(asked.map((request) => answerOf(models, request)))
        for (const { end, text } of answers) {
          expect(end.usage.completion).toBeLessThanOrEqual(4)
          expect(text).not.toBe('')
        }
      })

      test('a request that can not hold is refused', async () => {
        const invalid = { code: 'invalid_input' }
        await expect(answerOf(models, { messages: [] })).rejects.toMatchObject(invalid)
        await expect(answerOf(models, { ...HELLO, maxTokens: 0 })).rejects.toMatchObject(invalid)
        await expect(answerOf(models, { ...HELLO, temperature: 3 })).rejects.toMatchObject(invalid)
        await expect(answerOf(models, { ...HELLO, stop: [''] })).rejects.toMatchObject(invalid)
      })
    })

    describe('embeddings', () => {
      const [cat, kitten, tax] = ['A cat sleeps on the sofa.', 'A kitten naps on the couch.', 'The tax return is due in May.'] as const

      test('what means the same lies nearer than what does not', async () => {
        const { vectors } = await models.embed({ texts: [cat, kitten, tax] })
        const [one, same, other] = vectors as [number[], number[], number[]]
        expect(cosine(one, same)).toBeGreaterThan(cosine(one, other) + 0.2)
        expect(cosine(one, same)).toBeGreaterThan(cosine(same, other) + 0.2)
      })

      test('many texts at once give the vectors that each gives alone, in their order', async () => {
        const texts = Array.from({ length: 130 }, (_, index) => `${[cat, kitten, tax][index % 3]} Number ${index}.`)
        const { vectors, model } = await models.embed({ texts })
        expect(vectors).toHaveLength(texts.length)
        expect(await models.list()).toContain(model)
        for (const index of [0, 1, 64, 127, 128, 129]) {
          const alone = (await models.embed({ texts: [texts[index] as string] })).vectors[0] as number[]
          expect(vectors[index]).toHaveLength(alone.length)
          expect(cosine(vectors[index] as number[], alone)).toBeCloseTo(1, 5)
        }
      })

      test('the usage counts the tokens of all texts', async () => {
        const single = await models.embed({ texts: [cat] })
        const both = await models.embed({ texts: [cat, cat] })
        expect(single.usage.prompt).toBeGreaterThan(4)
        expect(both.usage.prompt).toBe((single.usage.prompt as number) * 2)
      })

      test('no texts, and empty ones, are refused', async () => {
        await expect(models.embed({ texts: [] })).rejects.toMatchObject({ code: 'invalid_input' })
        await expect(models.embed({ texts: [cat, ' '] })).rejects.toMatchObject({ code: 'invalid_input', details: { text: 1 } })
      })

      test('a signal ends the call with its reason', async () => {
        const enough = new Error('enough')
        await expect(models.embed({ texts: [cat], signal: AbortSignal.abort(enough) })).rejects.toBe(enough)
      })
    })

    test('a model that the server does not have is named, with those it has', async () => {
      const absent = {
        code: 'not_found',
        message: expect.stringContaining('"no-such-model"'),
        details: { model: 'no-such-model', models: await models.list() },
      }
      await expect(answerOf(models, { ...HELLO, model: 'no-such-model' })).rejects.toMatchObject(absent)
      await expect(models.embed({ model: 'no-such-model', texts: ['a'] })).rejects.toMatchObject(absent)
    })

    test('closing ends what is under way', async () => {
      const own = await open()
      const parts = own.chat({ ...HELLO, maxTokens: 1000 })[Symbol.asyncIterator]()
      await parts.next()
      await own.close()
      await expect(parts.next()).rejects.toMatchObject({ code: 'shutting_down' })
      await expect(own.list()).rejects.toMatchObject({ code: 'shutting_down' })
    })
  })
}
