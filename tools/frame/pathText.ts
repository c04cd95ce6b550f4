import { isUtf8 } from 'node:buffer'

/**
 * A file name as text. Git and Linux allow any bytes in names; JSON does not. Bytes that are not UTF-8 are written `\xHH` and a
 * backslash `\\`, so that no two names look alike and `pathBytes` gives the very bytes back.
 */
export function pathText(raw: Buffer): string {
  if (isUtf8(raw)) {
    const text = raw.toString('utf8')
    return text.includes('\\') ? text.replaceAll('\\', '\\\\') : text
  }
  let text = ''
  for (let at = 0; at < raw.length; ) {
    const length = [1, 2, 3, 4].find((count) => at + count <= raw.length && isUtf8(raw.subarray(at, at + count)))
    text += length ? raw.toString('utf8', at, at + length).replace('\\', '\\\\') : `\\x${raw.toString('hex', at, at + 1)}`
    at += length ?? 1
  }
  return text
}

/** The bytes that `pathText` wrote down. A backslash that begins no escape stands for itself. */
export function pathBytes(text: string): Buffer {
  const parts = text.split(/(\\\\|\\x[0-9a-f]{2})/)
  return Buffer.concat(
    parts.map((part, index) => {
      if (index % 2 === 0) return Buffer.from(part, 'utf8')
      return part === '\\\\' ? Buffer.from('\\') : Buffer.from(part.slice(2), 'hex')
    }),
  )
}
