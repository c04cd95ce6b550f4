import { isUtf8 } from 'node:buffer'
import { z } from 'zod'

export const Encoding = z.enum(['utf8', 'base64']).describe('How `content` is written: as text, or bytes as base64')
export type Encoding = z.infer<typeof Encoding>

export interface EncodedContent {
  content: string
  encoding: Encoding
}

/** Bytes as text where they are text, else as base64. NUL counts as binary: PostgreSQL and terminals do not take it. */
export function encodeContent(bytes: Buffer, truncated: boolean): EncodedContent {
  const whole = truncated ? withoutCutCharacter(bytes) : bytes
  if (isUtf8(whole) && !whole.includes(0)) return { content: whole.toString('utf8'), encoding: 'utf8' }
  return { content: bytes.toString('base64'), encoding: 'base64' }
}

export function decodeContent({ content, encoding }: EncodedContent): Buffer {
  return Buffer.from(content, encoding)
}

/** A cut at a byte can leave up to three bytes of a character at the end. */
function withoutCutCharacter(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0
    if (needs > 0) return needs > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}
