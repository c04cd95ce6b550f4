import { expect, test } from 'vitest'
import { redactFields } from './redact-fields.ts'

test.each([
  ['password', { name: 'a', password: 'p' }, { name: 'a', password: '[redacted]' }],
  ['user.email', { user: { email: 'e', id: 1 } }, { user: { email: '[redacted]', id: 1 } }],
  ['user', { user: { email: 'e' } }, { user: '[redacted]' }],
  ['rows.*.token', { rows: [{ token: 1, id: 1 }, { id: 2 }] }, { rows: [{ token: '[redacted]', id: 1 }, { id: 2 }] }],
  ['rows.1', { rows: ['a', 'b'] }, { rows: ['a', '[redacted]'] }],
  ['*.secret', { a: { secret: 1 }, b: 2 }, { a: { secret: '[redacted]' }, b: 2 }],
  ['gone.deep', { a: 1 }, { a: 1 }],
  ['a.b.c', { a: 'text' }, { a: 'text' }],
])('%s', (path, value, expected) => {
  const before = structuredClone(value)
  expect(redactFields(value, [path])).toEqual(expected)
  expect(value).toEqual(before)
})

test('what is no object stays as it is, and several fields go at once', () => {
  expect(redactFields('text', ['a'])).toBe('text')
  expect(redactFields(null, ['a'])).toBeNull()
  expect(redactFields({ a: 1, b: { c: 2 } }, ['a', 'b.c'])).toEqual({ a: '[redacted]', b: { c: '[redacted]' } })
})
