import { Readable } from 'node:stream'
import type { ReadableStream } from 'node:stream/web'
import { SomaError } from '@soma/contracts/errors'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { traceHeaders } from '../telemetry/tracing.ts'

/** Headers that belong to one connection, not to the message (RFC 9110, section 7.6.1), and what follows from the body sent on. */
const OWN_HEADERS = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'host',
  'content-length',
  'content-encoding',
  // The other's span is a child of ours.
  'traceparent',
  'tracestate',
])

/**
 * Sends a request on to the process that serves it, and its answer back, event streams included. Credentials go along: the gate there
 * decides.
 */
export async function forward(request: FastifyRequest, reply: FastifyReply, peerUrl: string): Promise<FastifyReply> {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  const headers = Object.entries(request.headers).filter(([name, value]) => typeof value === 'string' && !OWN_HEADERS.has(name)) as [
    string,
    string,
  ][]
  const body = request.body === undefined || request.body === null ? undefined : JSON.stringify(request.body)
  const answer = await fetch(new URL(request.url, peerUrl), {
    method: request.method,
    headers: [...headers, ...Object.entries(traceHeaders())],
    body,
    redirect: 'manual',
    signal: gone.signal,
  }).catch((cause) => {
    throw new SomaError(
      'dependency_unavailable',
      'The process that serves this address does not answer.',
      { retryAfterSeconds: 2 },
      { cause },
    )
  })
  for (const [name, value] of answer.headers) if (!OWN_HEADERS.has(name)) reply.header(name, value)
  return reply.code(answer.status).send(answer.body ? Readable.fromWeb(answer.body as ReadableStream) : '')
}
