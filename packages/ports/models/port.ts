export interface ChatMessage {
  role: 'system' | 'user' | 'assistant'
  content: string
}

export interface ChatRequest {
  /** Without it the one of the configuration, else the first that the server lists. */
  model?: string
  messages: readonly ChatMessage[]
  /** The most that is generated. Without it the server's own limit. */
  maxTokens?: number
  /** From 0, which takes the likeliest token each time, to 2. */
  temperature?: number
  /** Texts before which the answer ends, at most four. */
  stop?: readonly string[]
  /** Ends the call, and the generation on the server, with the signal's reason. */
  signal?: AbortSignal
}

export interface ChatText {
  type: 'text'
  text: string
}

/** The last part of an answer. */
export interface ChatEnd {
  type: 'end'
  model: string
  usage: ChatUsage
  /** `stop`: the model had said all, or a stop text came. `length`: `maxTokens` or the model's context was full. `other`: a filter. */
  finish: 'stop' | 'length' | 'other'
}

/** In tokens, as the server counts them; undefined when it does not say. */
export interface ChatUsage {
  prompt: number | undefined
  completion: number | undefined
}

export interface EmbedRequest {
  /** Without it the one of the configuration, else the first that the server lists. */
  model?: string
  texts: readonly string[]
  signal?: AbortSignal
}

export interface Embeddings {
  model: string
  /** One a text, in their order, all of the same size. */
  vectors: number[][]
  usage: { prompt: number | undefined }
}

/**
 * Language models behind one server. What goes wrong has the vendor's `status` and `requestId` in its details, where there are some:
 *
 * - `invalid_input`: the request does not hold, or the server says so.
 * - `not_found`: the server has no such model; the details name those it has.
 * - `rate_limited`: with `retryAfterSeconds`, when the server says it.
 * - `dependency_unavailable`: the server is away, refuses the API key, answers too slowly, or breaks off.
 */
export interface Models {
  /**
   * Streams: every text as soon as it is generated, then one `end`. Begins when the first part is asked for. A caller that stops reading
   * ends the generation.
   */
  chat(request: ChatRequest): AsyncIterable<ChatText | ChatEnd>
  embed(request: EmbedRequest): Promise<Embeddings>
  /** Names of the models, in the server's order. */
  list(): Promise<string[]>
  /** Of the server behind it, as the server says it: who gets an answer knows that it is there. @throws `dependency_unavailable` */
  version(): Promise<string>
  /** Ends what is under way, with `shutting_down`. */
  close(): Promise<void>
}
