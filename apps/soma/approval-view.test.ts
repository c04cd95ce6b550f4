import { expect, test } from 'vitest'
import { renderApproval, renderApprovals, renderDelegations, type ShownApproval } from './approval-view.ts'
import { createPaint } from './text.ts'

const NOW = Date.parse('2026-03-01T12:00:00.000Z')
const view = { width: 80, paint: createPaint(false), typed: (command: string) => `npx soma ${command}` }
const approval: ShownApproval = {
  id: '4f0c2a9b4f0c2a9b4f0c2a9b4f0c2a9b',
  status: 'pending',
  action: 'tool.git.commit',
  effect: 'write',
  summary: 'tool.git.commit needs a person’s approval. Changing a repository that the project did not make needs a person’s approval.',
  resource: { kind: 'repository', branch: 'soma/health' },
  text: `branch: soma/health\nfiles:\n  - path: docs/a-very-long-name-${'x'.repeat(90)}.md\nmessage: |\n  First line\n\n  Third line\n`,
  reversedBy: 'git.revert',
  labels: ['untrusted.repository'],
  reasons: [
    { rule: 'repository-writes-need-approval', text: 'Changing a repository that the project did not make needs a person’s approval.' },
  ],
  requestedBy: 'agent:coder.v1',
  onBehalfOf: 'user:ada',
  project: 'prj-1',
  deliverable: 'publish',
  run: 'prj-1.publish.2',
  digest: 'ab'.repeat(32),
  requestedAt: '2026-03-01T11:00:00.000Z',
  expiresAt: '2026-03-01T13:02:03.000Z',
  terms: { by: 2, capabilities: ['release.approve'], reasonRequired: true, self: 'alone' },
  words: [{ by: 'user:grace', onBehalfOf: 'user:linus', approve: true, reason: 'read it', at: '2026-03-01T11:30:00.000Z' }],
}

test('what is asked is shown in 80 columns: what will be done, what takes it back, what led to it, who must agree and what to type', () => {
  const text = renderApproval(approval, view, NOW)
  const lines = text.split('\n')
  expect(lines.filter((line) => line.length > 80)).toEqual([])
  expect(lines).toEqual(
    expect.arrayContaining([
      'State      pending, 1 of 2, 1:02:03 left',
      'Asked by   agent:coder.v1 for user:ada',
      'Where      project prj-1, publish, run prj-1.publish.2',
      'Action     tool.git.commit (write)',
      'Acts on    kind repository, branch soma/health',
      'Undone by  git.revert',
      'Led to by  data labelled untrusted.repository',
      '  branch: soma/health',
      '    First line',
      '    Third line',
      '  2026-03-01T11:30:00.000Z user:grace for user:linus approved: read it',
      `  npx soma approve ${approval.id}`,
    ]),
  )
  expect(text).toContain('2 different people with release.approve, who say why, not who asked\n           unless nobody else can\n')
})

test('what is settled offers nothing to type', () => {
  const text = renderApproval({ ...approval, status: 'approved', usedAt: '2026-03-01T11:40:00.000Z' }, view, NOW)
  expect(text).toContain('State      approved, used 2026-03-01T11:40:00.000Z')
  expect(text).not.toContain('npx soma approve')
})

test('nothing in it steers the terminal', () => {
  const evil = '\u001b[2J\u001b]0;x\u0007hidden\u202e'
  const shown = { ...approval, summary: evil, text: `a: ${evil}\n`, requestedBy: evil, resource: { kind: evil } }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(renderApproval(shown, view, NOW)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202a-\u202e]/)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(renderApprovals([shown], view, NOW)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202a-\u202e]/)
})

test('a list says what waits, how long, and how many have agreed', () => {
  expect(renderApprovals([], view, NOW)).toBe('Nothing waits for anybody.')
  const lines = renderApprovals([approval, { ...approval, status: 'expired' }], view, NOW).split('\n')
  expect(lines[0]).toBe(approval.id)
  expect(lines[1]).toBe('  pending, 1 of 2, 1:02:03 left  tool.git.commit')
  expect(lines.filter((line) => line.length > 80)).toEqual([])
  expect(lines).toContain('  expired  tool.git.commit')
})

test('delegations say who stands in for whom, until when', () => {
  expect(renderDelegations([], view)).toBe('Nobody stands in for anybody.')
  const given = {
    id: 'd1',
    from: 'user:ada',
    to: 'user:grace',
    startsAt: '2026-03-01T00:00:00.000Z',
    endsAt: '2026-03-08T00:00:00.000Z',
    reason: 'on leave',
  }
  expect(renderDelegations([given], view)).toBe('user:grace for user:ada, 2026-03-01 00:00 to 2026-03-08 00:00 UTC: on leave\n  d1')
})
