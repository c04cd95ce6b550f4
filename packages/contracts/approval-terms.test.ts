import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type ApprovalTerms, meets, strictest, termsOf } from './approval-terms.ts'

const terms: fc.Arbitrary<ApprovalTerms> = fc.record(
  {
    by: fc.integer({ min: 1, max: 5 }),
    capabilities: fc.uniqueArray(fc.constantFrom('a', 'b.c', 'd')),
    expiresAfterSeconds: fc.integer({ min: 1, max: 1000 }),
    reasonRequired: fc.boolean(),
    self: fc.constantFrom('never' as const, 'alone' as const, 'always' as const),
  },
  { requiredKeys: ['by', 'capabilities', 'reasonRequired', 'self'] },
)
const several = fc.array(terms, { minLength: 1, maxLength: 5 })

test('what several rules ask for together meets each of them, in whatever order they stand', () => {
  fc.assert(
    fc.property(several, (all) => {
      const together = strictest(all)
      for (const each of all) {
        expect(meets(together, each)).toBe(true)
        if (each.expiresAfterSeconds) expect(together.expiresAfterSeconds).toBeLessThanOrEqual(each.expiresAfterSeconds)
      }
      expect(strictest(all.toReversed())).toEqual(together)
    }),
  )
})

test('they ask for no more than one of the rules does', () => {
  fc.assert(
    fc.property(several, (all) => {
      const together = strictest(all)
      expect(all.map(({ by }) => by)).toContain(together.by)
      expect(all.map(({ expiresAfterSeconds }) => expiresAfterSeconds)).toContain(together.expiresAfterSeconds)
      expect(all.map(({ self }) => self)).toContain(together.self)
      for (const capability of together.capabilities) expect(all.some(({ capabilities }) => capabilities.includes(capability))).toBe(true)
      expect(together.reasonRequired).toBe(all.some(({ reasonRequired }) => reasonRequired))
    }),
  )
})

test('terms that ask for more in anything are not met by those that ask for less', () => {
  const mild: ApprovalTerms = { by: 1, capabilities: [], reasonRequired: false, self: 'always' }
  for (const more of [{ by: 2 }, { capabilities: ['a'] }, { reasonRequired: true }, { self: 'alone' as const }]) {
    expect(meets(mild, { ...mild, ...more })).toBe(false)
    expect(meets({ ...mild, ...more }, mild)).toBe(true)
  }
})

test('a decision carries the terms of the rules that asked among its obligations', () => {
  const rule = (by: number) => ({ kind: 'approval', value: { by, capabilities: [], reasonRequired: false, self: 'never' } })
  expect(termsOf({ obligations: [{ kind: 'record' }] })).toBeUndefined()
  expect(termsOf({ obligations: [rule(1), { kind: 'record' }, rule(3)] })?.by).toBe(3)
})
