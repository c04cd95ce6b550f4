import fc from 'fast-check'
import { expect, it } from 'vitest'
import { pathBytes, pathText } from './pathText.ts'

const name = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))

it('gives back the very bytes of any name', () => {
  fc.assert(fc.property(name, (bytes) => pathBytes(pathText(bytes)).equals(bytes)))
})

it('writes no two names alike', () => {
  fc.assert(fc.property(name, name, (a, b) => a.equals(b) || pathText(a) !== pathText(b)))
})

it('leaves names of ordinary text as they are', () => {
  expect(pathText(Buffer.from('docs/Überblick 日本.md'))).toBe('docs/Überblick 日本.md')
})

it('shows bytes that are not UTF-8, and a backslash, in a way that cannot be mistaken', () => {
  expect(pathText(Buffer.from([0x61, 0xff, 0x62]))).toBe('a\\xffb')
  expect(pathText(Buffer.from('a\\xffb'))).toBe('a\\\\xffb')
})
