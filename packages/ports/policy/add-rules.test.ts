import { expect, test } from 'vitest'
import { addRules } from './add-rules.ts'
import { parseConstitution } from './check.ts'

const rule = (id: string) => ({ id, says: 'A rule that was added.', applies: { actions: ['tool.*'] }, decide: 'deny' })

test('rules come after those that are there, and the comments stay', () => {
  const text = `# Ours.
apiVersion: soma.dev/v1
kind: Constitution
metadata: { name: own, version: 1.0.0 } # the first
rules:
  # Said on Monday.
  - { id: one, says: The first rule of all., applies: { actions: ["*"] }, decide: allow }
`
  const added = addRules(text, [rule('two'), rule('three')])
  for (const comment of ['# Ours.', '# the first', '# Said on Monday.']) expect(added).toContain(comment)
  expect(parseConstitution(added).rules.map(({ id }) => id)).toEqual(['one', 'two', 'three'])
})

test('the first rules make a constitution', () => {
  const made = addRules(undefined, [rule('one')])
  expect(parseConstitution(made).rules.map(({ id }) => id)).toEqual(['one'])
  expect(made).toContain('rules:\n  - id: one\n')
})

test('without a list there is nothing to add to', () => {
  expect(() => addRules('kind: Constitution', [rule('one')])).toThrow('has no list of rules')
})
