import { SomaError } from '@soma/contracts/errors'
import { operation } from '@soma/contracts/operation'
import { z } from 'zod'
import { readBody, requireSuccess } from '../frame/httpAnswer.ts'
import { httpTarget, WebUrl } from '../frame/httpTarget.ts'
import { RequestHeaders } from './answer.ts'

export const download = operation({
  name: 'http.download',
  summary: 'Keep what a URL holds as an object',
  input: z.strictObject({
    url: WebUrl,
    headers: RequestHeaders,
    maxBytes: z.number().int().min(1).max(200_000_000).default(50_000_000).describe('More than this is an error'),
  }),
  output: z.object({ url: z.string(), digest: z.string(), size: z.number().int(), mediaType: z.string() }),
  effect: 'read',
  capability: 'tool.http.read',
  idempotency: { kind: 'read' },
  timeoutSeconds: 300,
  untrustedOutput: true,
  resource: ({ url }) => httpTarget(url, 'GET'),
  run: async (input, { fetch, signal, objects }) => {
    const response = await requireSuccess(await fetch(input.url, { headers: input.headers, signal }))
    const { bytes, truncated } = await readBody(response, input.maxBytes)
    if (truncated) {
      const sentence = `The download holds more than maxBytes (${input.maxBytes}). Raise maxBytes if that is expected.`
      throw new SomaError('tool_failed', sentence, { maxBytes: input.maxBytes, retryable: false })
    }
    const mediaType = response.headers.get('content-type')?.split(';')[0]?.trim() || 'application/octet-stream'
    return { url: response.url, ...(await objects.put(bytes, mediaType)) }
  },
})
