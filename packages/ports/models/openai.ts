import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { SomaError } from '@soma/contracts/errors'
import { beginCall, type Call } from './openai-call.ts'
import { explainFailure, failureOf, retrying } from './openai-failure.ts'
import type { ChatEnd, ChatMessage, ChatRequest, ChatText, Embeddings, EmbedRequest, Models } from './port.ts'
import { requireChat, requireTexts } from './rules.ts'

export interface OpenAiOptions {
  /** Up to and with `/v1`. */
  url?: string
  apiKey?: string
  chatModel?: string
  embeddingModel?: string
  patience?: Patience
}

/** Longest waits, in milliseconds. */
export interface Patience {
  /** For a list or a version. */
  word: number
  /** For the beginning of a chat, and for vectors: all attempts together, with the time that the server lets the call queue. */
  answer: number
  /** From one token to the next. */
  token: number
}

const PATIENCE: Patience = { word: 10_000, answer: 120_000, token: 60_000 }
/** Texts in one request; servers allow between some hundred and 2048. */
const TEXTS_AT_ONCE = 128

/**
 * Any server that speaks the OpenAI API: Ray Serve, vLLM, llama.cpp, Ollama, LiteLLM, OpenAI itself.
 *
 * It talks through the AI SDK's provider for such servers, at the level of that SDK's provider specification. The specification has tool
 * calls, reasoning and structured output in one shape for all vendors, so what comes later needs no other client, and a vendor with an API of
 * its own is another package behind the same driver. The layer above it (`ai`) would add its own retries, prompts and telemetry, and a
 * second of start; the official `openai` client speaks to one vendor's dialect.
 * @throws `invalid_input` without a URL
 */
export function openOpenAiModels({ url, apiKey, chatModel, embeddingModel, patience = PATIENCE }: OpenAiOptions): Models {
  if (!url) throw new SomaError('invalid_input', 'Nothing says where the models are. Set SOMA_MODELS_URL, e.g. http://localhost:8000/v1.')
  const baseUrl = url.replace(/\/+$/, '')
  const vendor = createOpenAICompatible({ name: 'models', baseURL: baseUrl, apiKey, includeUsage: true })
  const closing = new AbortController()
  let first: Promise<string> | undefined

  const begin = (signal?: AbortSignal): Call => beginCall(`The model server at ${baseUrl}`, [closing.signal, ...(signal ? [signal] : [])])
  const explain = (error: unknown, call: Call, model?: string) =>
    call.signal.aborted ? error : explainFailure(error, { url: baseUrl, apiKey, model, list })

  async function ask(call: Call, address: string): Promise<unknown> {
    const headers = apiKey ? { authorization: `Bearer ${apiKey}` } : undefined
    const answer = await fetch(address, { headers, signal: call.signal })
    if (!answer.ok) throw await failureOf(answer)
    return answer.json()
  }

  /** Runs one call from its beginning to its end, whatever that is. */
  async function calling<Answer>(work: (call: Call) => Promise<Answer>, signal?: AbortSignal, model?: string): Promise<Answer> {
    const call = begin(signal)
    try {
      return await work(call)
    } catch (error) {
      throw await explain(error, call, model)
    } finally {
      call.end()
    }
  }

  function list(): Promise<string[]> {
    return calling((call) =>
      call.within(patience.word, async () => namesIn(await retrying(call.signal, () => ask(call, `${baseUrl}/models`)))),
    )
  }

  /** The model to take when nobody names one; asked for once. */
  function firstListed(): Promise<string> {
    first ??= list().then(([name]) => {
      if (name === undefined) throw new SomaError('not_found', `The model server at ${baseUrl} lists no model.`, { url: baseUrl })
      return name
    })
    first.catch(() => {
      first = undefined
    })
    return first
  }

  async function embedBatch(model: string, values: string[], call: Call): Promise<{ embeddings: number[][]; tokens?: number }> {
    const { embeddings, usage } = await call.within(patience.answer, () =>
      retrying(call.signal, () => vendor.embeddingModel(model).doEmbed({ values, abortSignal: call.signal })),
    )
    if (embeddings.length === values.length) return { embeddings, tokens: usage?.tokens }
    throw new SomaError('dependency_unavailable', `The model server answers ${embeddings.length} vectors for ${values.length} texts.`, {
      model,
    })
  }

  return {
    async *chat(request: ChatRequest): AsyncGenerator<ChatText | ChatEnd> {
      requireChat(request)
      request.signal?.throwIfAborted()
      const model = request.model ?? chatModel ?? (await firstListed())
      const call = begin(request.signal)
      try {
        const { stream } = await call.within(patience.answer, () =>
          retrying(call.signal, () => vendor.chatModel(model).doStream({ ...toVendor(request), abortSignal: call.signal })),
        )
        const reader = stream.getReader()
        let wait = patience.answer
        for (;;) {
          const { done, value: part } = await call.within(wait, () => reader.read())
          if (done) return
          if (part.type === 'error') throw part.error
          if (part.type === 'text-delta') {
            wait = patience.token
            yield { type: 'text', text: part.delta }
          }
          if (part.type === 'finish') yield endOf(model, part)
        }
      } catch (error) {
        throw await explain(error, call, model)
      } finally {
        call.end()
      }
    },

    async embed(request: EmbedRequest): Promise<Embeddings> {
      requireTexts(request)
      request.signal?.throwIfAborted()
      const model = request.model ?? embeddingModel ?? (await firstListed())
      const answered = await calling(
        async (call) => {
          const batches = []
          for (let from = 0; from < request.texts.length; from += TEXTS_AT_ONCE)
            batches.push(await embedBatch(model, request.texts.slice(from, from + TEXTS_AT_ONCE), call))
          return batches
        },
        request.signal,
        model,
      )
      return {
        model,
        vectors: answered.flatMap(({ embeddings }) => embeddings),
        usage: { prompt: sum(answered.map(({ tokens }) => tokens)) },
      }
    },

    list,

    async version(): Promise<string> {
      await list()
      // Not of the OpenAI API, but vLLM has it there, and so has the stack's application on Ray Serve.
      const answer = await calling((call) => call.within(patience.word, () => ask(call, `${baseUrl}/../version`))).catch(() => undefined)
      const version = (answer as { version?: unknown } | undefined)?.version
      return typeof version === 'string' ? version : 'not told'
    },

    close: async () => closing.abort(new SomaError('shutting_down', 'The server is stopping and asks the models nothing more.')),
  }
}

type Finish = Extract<VendorPart, { type: 'finish' }>
type VendorModel = ReturnType<ReturnType<typeof createOpenAICompatible>['chatModel']>
type VendorCall = Parameters<VendorModel['doStream']>[0]
type VendorPart = Awaited<ReturnType<VendorModel['doStream']>>['stream'] extends ReadableStream<infer Part> ? Part : never

function toVendor({ messages, maxTokens, temperature, stop }: ChatRequest): VendorCall {
  const prompt = messages.map(messageToVendor)
  return { prompt, maxOutputTokens: maxTokens, temperature, stopSequences: stop && [...stop] }
}

function messageToVendor({ role, content }: ChatMessage): VendorCall['prompt'][number] {
  return role === 'system' ? { role, content } : { role, content: [{ type: 'text', text: content }] }
}

function endOf(model: string, { usage, finishReason }: Finish): ChatEnd {
  const reason = finishReason.unified
  return {
    type: 'end',
    model,
    usage: { prompt: usage.inputTokens.total, completion: usage.outputTokens.total },
    finish: reason === 'stop' || reason === 'length' ? reason : 'other',
  }
}

/** @throws when this is no list of models */
function namesIn(answer: unknown): string[] {
  const { data } = (answer ?? {}) as { data?: unknown }
  if (Array.isArray(data) && data.every((model) => typeof model?.id === 'string')) return data.map(({ id }: { id: string }) => id)
  throw new SomaError('dependency_unavailable', 'The model server lists its models in a shape that is not that of the OpenAI API.', {
    retryable: false,
  })
}

function sum(counts: readonly (number | undefined)[]): number | undefined {
  return counts.reduce((total, count) => (total === undefined || count === undefined ? undefined : total + count), 0)
}
