import { expect, test } from 'vitest'
import { withBeginnings, withoutLabels } from './labels.ts'

test('a label says all that its beginnings say', () => {
  expect(withBeginnings(['untrusted.web.page', 'secret'])).toEqual(['secret', 'untrusted', 'untrusted.web', 'untrusted.web.page'])
  expect(withBeginnings(['untrusted', 'untrusted.web'])).toEqual(['untrusted', 'untrusted.web'])
})

test('a label that is taken away takes what is below it with it, and nothing that only begins alike', () => {
  const labels = ['untrusted', 'untrusted.web', 'untrusted.webhook', 'untrusted.repository']
  expect(withoutLabels(labels, ['untrusted.web'])).toEqual(['untrusted', 'untrusted.webhook', 'untrusted.repository'])
  expect(withoutLabels(labels, ['untrusted'])).toEqual([])
})
