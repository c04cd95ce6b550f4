import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** Answers with one JSON value a line, as they come. */
export function sendJsonLines(reply: FastifyReply, values: AsyncIterable<unknown>): FastifyReply {
  return reply.type('application/x-ndjson').send(Readable.from(asLines(values)))
}

async function* asLines(values: AsyncIterable<unknown>): AsyncGenerator<string> {
  for await (const value of values) yield `${JSON.stringify(value)}\n`
}
