import fc from 'fast-check'
import { expect, it } from 'vitest'
import { decodeContent, encodeContent } from './content.ts'

it('gives back the very bytes of any content', () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => decodeContent(encodeContent(Buffer.from(bytes), false)).equals(bytes)))
})

it('keeps text text, wherever it is cut', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), fc.nat(), (text, at) => {
      fc.pre(!text.includes('\0'))
      const bytes = Buffer.from(text)
      const part = encodeContent(bytes.subarray(0, at % (bytes.length + 1)), true)
      expect(part.encoding).toBe('utf8')
      expect(text.startsWith(part.content)).toBe(true)
    }),
  )
})
