import { expect, test } from 'vitest'
import { LedgerLine } from './ledger-line.ts'

const checkpoint = {
  tenant: 'acme',
  after: '0',
  through: '7',
  count: 7,
  root: 'ab',
  previous: '0'.repeat(64),
  at: '2026-01-01T00:00:00.000Z',
  keyId: '0123456789abcdef',
  signature: 'c2ln',
}

test('a header that names a checkpoint is read as a header, not as a checkpoint', () => {
  const header = { ledger: 'soma/v1', tenant: 'acme', scope: 'all', keys: [], checkpoint, exportedAt: '2026-01-01T00:00:01.000Z' }
  expect(LedgerLine.parse(header)).toEqual(header)
  expect(LedgerLine.parse({ checkpoint })).toEqual({ checkpoint })
})
