import { expect, test } from 'vitest'
import { readStatement } from './request.ts'

const read = (address: Record<string, string>, body = '', method = 'POST') => readStatement(method, new URLSearchParams(address), body)

test('the statement is in the address, in the body, or begins in the one and ends in the other', () => {
  expect(read({ query: 'SELECT 1' }).sql).toBe('SELECT 1')
  expect(read({}, 'SELECT 1').sql).toBe('SELECT 1')
  expect(read({ query: 'INSERT INTO t FORMAT TSV' }, '1\n2').sql).toBe('INSERT INTO t FORMAT TSV\n1\n2')
  expect(() => read({})).toThrow('Code: 62')
})

test('settings, parameters and the database are made ready before the statement, whatever they hold', () => {
  const { preparation } = read({ query: 'SELECT 1', database: 'a`b', max_threads: '1', param_name: "it's \\N" })
  expect(preparation).toEqual(['USE `a\\`b`', "SET max_threads = '1'", "SET param_name = 'it\\'s \\\\N'"])
})

test('what is asked for with GET may change nothing', () => {
  expect(read({ query: 'SELECT 1' }, '', 'GET').preparation).toEqual(['SET readonly = 2'])
})

test.each(['session_id', 'role', 'compress'])('%s, which the door lacks, is refused and not ignored', (name) => {
  expect(() => read({ query: 'SELECT 1', [name]: '1' })).toThrow('NOT_IMPLEMENTED')
})

test('what can be no setting is refused', () => {
  expect(() => read({ query: 'SELECT 1', 'a = 1, b': '1' })).toThrow('UNKNOWN_SETTING')
})
