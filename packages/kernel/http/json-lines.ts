import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'

/** Characters that are sent at once. */
const CHUNK = 64 * 1024

/** Answers with lines of JSON as they come; whoever reads slowly makes them come slowly. */
export function sendJsonLines(reply: FastifyReply, lines: AsyncIterable<string>): FastifyReply {
  return reply.type('application/x-ndjson').send(Readable.from(inChunks(lines), { objectMode: false }))
}

async function* inChunks(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let chunk = ''
  for await (const line of lines) {
    chunk += `${line}\n`
    if (chunk.length < CHUNK) continue
    yield chunk
    chunk = ''
  }
  if (chunk !== '') yield chunk
}
