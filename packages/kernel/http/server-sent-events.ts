import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { asSomaError } from './problem.ts'

export interface ServerSentEvent {
  /** Comes back as Last-Event-ID when the client reconnects, e.g. a journal position. */
  id?: string
  event?: string
  /** Sent as JSON. */
  data: unknown
}

export interface EventSourceStart {
  /** Last-Event-ID header: send what came after it. */
  lastEventId: string | undefined
  /** Aborts when the client goes or the server stops; a source that waits must end then. */
  signal: AbortSignal
}

/**
 * Answers with a stream of events until `source` ends, the client goes or the server stops. A client that reads slowly slows the
 * source, so nothing piles up. A source that throws ends the stream with an event `error` that holds the code.
 */
export function sendEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  source: (start: EventSourceStart) => AsyncIterable<ServerSentEvent>,
  options: { heartbeatSeconds?: number } = {},
): FastifyReply {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  const signal = AbortSignal.any([gone.signal, request.server.stopping])
  const header = request.headers['last-event-id']
  const lastEventId = typeof header === 'string' && header !== '' ? header : undefined
  const stream = new PassThrough()
  const heartbeat = setInterval(
    () => {
      if (!stream.writableNeedDrain) stream.write(': heartbeat\n\n')
    },
    (options.heartbeatSeconds ?? 15) * 1000,
  )
  const end = () => {
    clearInterval(heartbeat)
    stream.end()
  }
  signal.addEventListener('abort', end, { once: true })
  // What the client waits so long for before it reconnects, in milliseconds; it also sends the headers at once.
  stream.write('retry: 2000\n\n')
  void writeEvents(stream, source({ lastEventId, signal }), signal)
    .catch((error) => {
      if (signal.aborted) return
      request.log.error({ err: error }, 'an event stream ended early')
      stream.write(eventText({ event: 'error', data: { code: asSomaError(error).code } }))
    })
    .finally(() => {
      if (!signal.aborted) end()
    })
  return reply.headers({ 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' }).send(stream)
}

async function writeEvents(stream: PassThrough, events: AsyncIterable<ServerSentEvent>, signal: AbortSignal): Promise<void> {
  for await (const event of events) {
    if (signal.aborted) return
    if (!stream.write(eventText(event))) await once(stream, 'drain', { signal })
  }
}

function eventText({ id, event, data }: ServerSentEvent): string {
  const lines = [id === undefined ? '' : `id: ${oneLine(id)}\n`, event === undefined ? '' : `event: ${oneLine(event)}\n`]
  return `${lines.join('')}data: ${JSON.stringify(data ?? null)}\n\n`
}

function oneLine(text: string): string {
  return text.replace(/[\r\n\0]/g, ' ')
}
