import { expect, test } from 'vitest'
import { parseConstitution } from './check.ts'
import { type ConstitutionDiff, diffConstitutions } from './diff.ts'

const constitution = (rules: string[], more = '') =>
  parseConstitution(`apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: own, version: 1.0.0 }
rules:
${rules.map((rule) => `  - ${rule}`).join('\n')}
${more}`)
const rule = (id: string, more = 'decide: deny') => `{ id: ${id}, says: The rule ${id} speaks., applies: { actions: [tool.*] }, ${more} }`

const changesNothing = ({ added, removed, changed, residency }: ConstitutionDiff) =>
  added.length + removed.length + changed.length === 0 && !residency

test('rules that come, go and change are told, and of what field', () => {
  const before = constitution([rule('gone'), rule('stays'), rule('changes')])
  const after = constitution([rule('stays'), rule('changes', 'decide: needs_approval, limit: { most: 3, within: 1h }'), rule('comes')])
  const diff = diffConstitutions(before, after)
  expect(diff).toMatchObject({
    added: [{ id: 'comes' }],
    removed: [{ id: 'gone' }],
    changed: [{ id: 'changes', fields: ['decide', 'limit'] }],
  })
  expect(changesNothing(diff)).toBe(false)
})

test('order, spelling and what is said by default make no difference', () => {
  const before = constitution([rule('one'), rule('two')])
  const after = constitution([
    rule('two'),
    `{ decide: deny, applies: { effects: [read, write, destructive], actions: [tool.*] }, says: The rule one speaks., id: one }`,
  ])
  expect(changesNothing(diffConstitutions(before, after))).toBe(true)
})

test('the first version adds all its rules, and other regions are told', () => {
  const first = constitution([rule('one')], 'residency: [eu-west-1]')
  expect(diffConstitutions(undefined, first)).toMatchObject({
    added: [{ id: 'one' }],
    residency: { before: [], after: ['eu-west-1'] },
  })
  expect(diffConstitutions(first, constitution([rule('one')], 'residency: [eu-west-1]')).residency).toBeUndefined()
})

test('tests are told, and change nothing that is decided', () => {
  const tested = (name: string, verdict: string) =>
    constitution(
      [rule('one')],
      `tests:\n  - { name: ${name}, input: { action: { name: tool.x, effect: read } }, expect: { verdict: ${verdict} } }`,
    )
  const diff = diffConstitutions(tested('a', 'deny'), tested('a', 'allow'))
  expect(diff.tests).toEqual({ added: [], removed: [], changed: ['a'] })
  expect(changesNothing(diff)).toBe(true)
  expect(diffConstitutions(tested('a', 'deny'), tested('b', 'deny')).tests).toEqual({ added: ['b'], removed: ['a'], changed: [] })
})
