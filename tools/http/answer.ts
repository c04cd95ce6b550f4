import { TextDecoder } from 'node:util'
import { SomaError } from '@soma/contracts/errors'
import { z } from 'zod'
import { parseJson, readBody, requireSuccess } from '../frame/httpAnswer.ts'

export const RequestHeaders = z.record(z.string().min(1), z.string()).default({}).describe('Header lines by name')

/** How much of an answer is taken, and as what. */
export const answerOptions = {
  as: z
    .enum(['auto', 'text', 'json', 'base64'])
    .default('auto')
    .describe('What the body becomes. auto: text when it is text, else base64. json: parsed; an answer that is not JSON is an error.'),
  maxBytes: z.number().int().min(1).max(10_000_000).default(1_000_000).describe('The body is cut here, and `truncated` says so'),
  onErrorStatus: z
    .enum(['fail', 'return'])
    .default('fail')
    .describe('Whether a status outside 200 to 299 is an error or an answer like any other'),
}

export const AnswerHead = z.object({
  url: z.string().describe('Where the answer came from, after redirects'),
  status: z.number().int(),
  statusText: z.string(),
  headers: z.record(z.string(), z.string()).describe('By lower-case name; several of one name are joined by line breaks'),
})
export type AnswerHead = z.infer<typeof AnswerHead>

export const Answer = AnswerHead.extend({
  text: z.string().optional(),
  base64: z.string().optional(),
  json: z.unknown().optional(),
  size: z.number().int().describe('Bytes of the body that were taken'),
  truncated: z.boolean(),
})
export type Answer = z.infer<typeof Answer>

export function answerHead(response: Response): AnswerHead {
  const headers: Record<string, string> = {}
  for (const [name, value] of response.headers) headers[name] = headers[name] === undefined ? value : `${headers[name]}\n${value}`
  return { url: response.url, status: response.status, statusText: response.statusText, headers }
}

/** @throws tool_failed for an error status unless it is to be returned, and for text or JSON that is none */
export async function readAnswer(
  response: Response,
  wanted: { as: 'auto' | 'text' | 'json' | 'base64'; maxBytes: number; onErrorStatus: 'fail' | 'return' },
): Promise<Answer> {
  if (wanted.onErrorStatus === 'fail') await requireSuccess(response)
  const { bytes, truncated } = await readBody(response, wanted.maxBytes)
  const answer = { ...answerHead(response), size: bytes.length, truncated }
  if (wanted.as === 'base64') return { ...answer, base64: bytes.toString('base64') }

  const text = decode(bytes, response.headers.get('content-type'), truncated)
  if (wanted.as === 'json') return { ...answer, json: readJson(text, response, truncated, wanted.maxBytes) }
  if (text !== undefined) return { ...answer, text }
  if (wanted.as === 'auto') return { ...answer, base64: bytes.toString('base64') }
  throw new SomaError('tool_failed', 'The answer is not text in its own charset. Ask for it as base64.', {
    status: response.status,
    retryable: false,
  })
}

function readJson(text: string | undefined, response: Response, truncated: boolean, maxBytes: number): unknown {
  if (truncated) {
    const sentence = `The JSON is longer than maxBytes (${maxBytes}), and a part of it is of no use. Raise maxBytes or download it.`
    throw new SomaError('tool_failed', sentence, { status: response.status, retryable: false, maxBytes })
  }
  return parseJson(text ?? '', response)
}

/** Text in the charset the server names, UTF-8 when it names none; undefined when the bytes are not that. */
function decode(bytes: Uint8Array, contentType: string | null, truncated: boolean): string | undefined {
  const charset = /charset=\s*"?([^\s;"]+)/i.exec(contentType ?? '')?.[1] ?? 'utf-8'
  try {
    const text = new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: truncated })
    return text.includes('\0') ? undefined : text
  } catch {
    return undefined // Either the charset is unknown or the bytes are not in it: not text to us.
  }
}
