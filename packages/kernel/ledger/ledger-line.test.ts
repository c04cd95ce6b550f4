import type { StoredEntry } from '@soma/ports/journal/port'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { readLine, writeLine } from './ledger-line.ts'

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
  const header = { ledger: 'soma/v1' as const, tenant: 'acme', scope: 'all' as const, keys: [], after: checkpoint }
  expect(readLine(writeLine(header))).toEqual(header)
  expect(readLine(writeLine({ checkpoint }))).toEqual({ checkpoint })
})

const hex = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 })
const name = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom(',"payload":', '"}}', '\\', 'a"b\\', '\u2028'))
const content = fc.record({ salt: fc.uuid(), text: fc.json() })
const entries = fc
  .record({
    position: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }).map(String),
    tenant: name,
    stream: name,
    seq: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
    kind: name,
    at: fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('9999-12-31') }).map((date) => date.toISOString()),
    digest: hex,
    prevHash: hex,
    hash: hex,
  })
  .chain((fields) =>
    fc.oneof(
      fc.constant(fields),
      content.map((more) => ({ ...fields, ...more })),
      content.map(({ text }) => ({ ...fields, text })),
    ),
  )

test('an entry is read as it was written, whatever texts it holds, and its payload to the letter', () => {
  fc.assert(
    fc.property(entries, (entry: StoredEntry) => {
      const line = writeLine({ entry })
      expect(line).not.toContain('\n')
      expect(readLine(line)).toEqual({ entry })
      expect(JSON.parse(line).entry.stream).toBe(entry.stream)
    }),
  )
})

test('an entry that is not written to the letter is none', () => {
  fc.assert(
    fc.property(entries, fc.nat(), fc.constantFrom(' ', ',', '"x":1,', '"seq":2,'), (entry: StoredEntry, place, added) => {
      const line = writeLine({ entry })
      const end = line.includes(',"payload":') ? line.length - (entry.text?.length ?? 0) - 2 : line.length
      const at = place % end
      const changed = line.slice(0, at) + added + line.slice(at)
      const read = readLine(changed)
      // Within a text another text is read, which no hash fits.
      if (read) expect(read).not.toEqual({ entry })
    }),
  )
})
