import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { readable } from './readable.ts'

test('one field a line, keys in order, texts of several lines as they are', () => {
  const value = { to: 'main', files: [{ path: 'a.md', content: 'First\n\nThird\n' }], force: false, from: null }
  expect(readable(value)).toBe(`files:
  - content: |
      First

      Third
    path: a.md
force: false
from: null
to: main
`)
  expect(readable(undefined)).toBe('null\n')
})

test('a change of one value changes its lines and no others', () => {
  const lines = (value: unknown) => readable(value).split('\n')
  const before = lines({ a: 1, b: { c: 'x', d: ['p', 'q'] }, e: 'z' })
  const after = lines({ e: 'z', b: { d: ['p', 'r'], c: 'x' }, a: 1 })
  expect(after.filter((line, index) => line !== before[index])).toEqual(['    - r'])
})

test('the text says the value and nothing else: whoever reads it back has the same', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      // As the ledger keeps it, where -0 is 0.
      const kept = JSON.parse(JSON.stringify(value))
      expect(parse(readable(kept))).toEqual(kept)
    }),
  )
})

test('what would be invisible is written out', () => {
  expect(readable({ a: 'x\u001b[2Jy\u0007' })).toBe('a: "x\\e[2Jy\\a"\n')
})
