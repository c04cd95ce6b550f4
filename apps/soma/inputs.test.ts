import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseInputs, parseJsonInput } from './inputs.ts'
import { collectServices } from './serve.ts'
import { shellWord } from './session.ts'

const schema = {
  properties: {
    path: { type: 'string' },
    depth: { type: 'integer' },
    deep: { type: 'boolean' },
    names: { type: 'array' },
    either: { type: ['string', 'number'] },
    level: { enum: ['1', 'high'] },
    target: { type: 'object', properties: { host: { type: 'string' } } },
  },
}

describe('k=v', () => {
  test.each([
    [['path=1'], { path: '1' }],
    [['path='], { path: '' }],
    [['path=a=b'], { path: 'a=b' }],
    [['depth=3', 'deep=true'], { depth: 3, deep: true }],
    [['names=["a","b"]'], { names: ['a', 'b'] }],
    [['either=5', 'level=1'], { either: 5, level: '1' }],
    [['either=five'], { either: 'five' }],
    [['target.host=1', 'target.port=2'], { target: { host: '1', port: 2 } }],
    [['free=null', 'other=text', 'list=[1]'], { free: null, other: 'text', list: [1] }],
  ])('%j is read by the type that is asked for', (words, inputs) => {
    expect(parseInputs(words, schema)).toEqual(inputs)
  })

  test.each([
    [['depth=many'], '"depth" must be integer, not "many".'],
    [['deep=yes'], '"deep" must be boolean'],
    [['names'], '"names" is no input. Write it as name=value.'],
    [['=x'], 'Write it as name=value.'],
    [['free=1', 'free.a=2'], '"free.a" can not be set: "free" was given as 1.'],
  ])('%j is refused with a sentence', (words, sentence) => {
    expect(() => parseInputs(words, schema)).toThrow(sentence)
  })

  test('text is never changed, and any JSON value comes through', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(parseInputs([`path=${text}`], schema)).toEqual({ path: text })
      }),
    )
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const text = JSON.stringify(value)
        expect(parseInputs([`free=${text}`], {}).free).toEqual(JSON.parse(text))
      }),
    )
  })
})

test('--json-input is an object, or a file that holds one', async () => {
  const file = join(await mkdtemp(join(tmpdir(), 'soma-inputs-')), 'inputs.json')
  await writeFile(file, '{"a":1}')
  expect(await parseJsonInput(`@${file}`)).toEqual({ a: 1 })
  expect(await parseJsonInput('{"b":[2]}')).toEqual({ b: [2] })
  await expect(parseJsonInput('[1]')).rejects.toThrow('must be a JSON object')
  await expect(parseJsonInput('{')).rejects.toThrow('can not be read as JSON')
  await expect(parseJsonInput('@/no/such')).rejects.toThrow('/no/such can not be read (ENOENT)')
})

test('words for a shell and names of services', () => {
  expect(shellWord('a b')).toBe("'a b'")
  expect(shellWord("it's")).toBe("'it'\\''s'")
  expect(shellWord('/srv/app-1.yaml')).toBe('/srv/app-1.yaml')
  expect(collectServices('orchestrator, tool-service,')).toEqual(['orchestrator', 'tool-service'])
})
