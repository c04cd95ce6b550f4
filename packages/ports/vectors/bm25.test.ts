import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type SparseVector, weighQuery, weighText } from './bm25.ts'

const score = (query: SparseVector, text: SparseVector) =>
  query.indices.reduce((sum, index) => sum + (text.values[text.indices.indexOf(index)] ?? 0), 0)

test('words are the same whatever their case, their accents are made of, and what stands between them', () => {
  expect(weighQuery('BRÜCKE')).toEqual(weighQuery('bru\u0308cke'))
  expect(weighQuery('billing.reserve_budget()').indices).toEqual(weighQuery('billing reserve budget').indices)
  expect(weighQuery('a1 東京 πόλη').indices).toHaveLength(3)
})

test('a text without words weighs nothing', () => {
  for (const text of ['', ' \n', '*', '-- ();']) {
    expect(weighText(text)).toEqual({ indices: [], values: [] })
    expect(weighQuery(text)).toEqual({ indices: [], values: [] })
  }
})

test('a word counts more the more often it stands there, but never more than 2.2 times', () => {
  const weight = (times: number) => score(weighQuery('word'), weighText('word '.repeat(times)))
  expect(weight(2)).toBeGreaterThan(weight(1))
  expect(weight(50)).toBeLessThan(2.2)
})

test('a word counts less in a longer text', () => {
  const query = weighQuery('budget')
  expect(score(query, weighText('budget'))).toBeGreaterThan(score(query, weighText(`budget ${'other '.repeat(300)}`)))
})

test('every word of a text is found in it, and each index stands there once', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const { indices, values } = weighText(text)
      expect(new Set(indices).size).toBe(indices.length)
      expect(weighQuery(text).indices).toEqual(indices)
      for (const value of values) expect(value).toBeGreaterThan(0)
    }),
  )
})
