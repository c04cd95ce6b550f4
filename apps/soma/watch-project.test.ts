import type { Project } from '@soma/contracts/project'
import { expect, test } from 'vitest'
import { demoResult, describeDemo, isWell } from './demo-result.ts'
import { EXIT, exitCodeOf } from './exit-codes.ts'
import { isHeld } from './follow-project.ts'
import { exitCodeOfProject } from './watch-project.ts'

type Status = Project['deliverables'][number]['status']

function projectWith(status: Project['status'], ...statuses: Status[]): Project {
  return {
    id: 'prj-1',
    tenant: 'main',
    name: 'p',
    brief: '',
    status,
    createdAt: '2026-01-01T00:00:00.000Z',
    inputs: {},
    budget: { limit: {}, spent: {} },
    deliverables: statuses.map((each, index) => ({
      id: `d${index}`,
      title: `D${index}`,
      persona: 'a.v1',
      status: each,
      wave: 1,
      spent: {},
      rounds: 0,
    })),
  }
}
const asked = (deliverable: string) => ({ id: 'a', summary: '', action: 'deliverable.start', deliverable })

test.each([
  ['waiting for policy alone', projectWith('waiting', 'done', 'blocked'), [], true],
  ['waiting for a person who was not asked yet or has just answered', projectWith('waiting', 'awaiting_approval'), [], false],
  ['waiting for a person', projectWith('waiting', 'awaiting_approval', 'done'), [asked('d0')], true],
  ['one of two running is asked about', projectWith('running', 'running', 'running'), [asked('d0')], false],
  ['all that runs is asked about', projectWith('running', 'running', 'done', 'waiting'), [asked('d0')], true],
  ['a start is asked about while others run', projectWith('running', 'awaiting_approval', 'running'), [asked('d0')], false],
  ['between two waves', projectWith('running', 'done', 'waiting'), [], false],
  ['reviewing', projectWith('reviewing', 'done', 'awaiting_approval'), [asked('d1')], false],
] as const)('a project is held only when nothing goes on by itself: %s', (_, project, approvals, held) => {
  expect(isHeld(project, approvals)).toBe(held)
})

test.each([
  [projectWith('done', 'done', 'rejected'), EXIT.done, true],
  [projectWith('waiting', 'done', 'blocked'), EXIT.denied, true],
  [projectWith('waiting', 'failed', 'blocked'), EXIT.failed, false],
  [projectWith('failed', 'failed'), EXIT.failed, false],
  [projectWith('failed'), EXIT.failed, false],
  [projectWith('cancelled', 'cancelled'), EXIT.failed, false],
])('exit codes tell how a project ended', (project, code, well) => {
  expect(exitCodeOfProject(project)).toBe(code)
  expect(isWell(project)).toBe(well)
})

test('exit codes tell away from denied', () => {
  expect(exitCodeOf('dependency_unavailable')).toBe(3)
  expect(['policy_denied', 'approval_required', 'unauthenticated', 'killed'].map((code) => exitCodeOf(code as 'killed'))).toEqual([
    4, 4, 4, 4,
  ])
  expect(exitCodeOf('plan_invalid')).toBe(1)
})

test('the result of the demo names every deliverable, and its text can be copied', () => {
  const project = projectWith('waiting', 'done', 'blocked')
  Object.assign(project.deliverables[0] as object, { startedAt: '2026-01-01T00:00:01.000Z', endedAt: '2026-01-01T00:00:03.500Z' })
  const result = demoResult({
    project,
    approvals: [{ ...asked('d1'), id: 'a1' }],
    reports: { html: '/srv/my data/index.html', json: '/r.json', evidence: '/srv/e.jsonl' },
    ledger: { position: '7', hash: 'ab'.repeat(32) },
    began: Date.parse('2026-01-01T00:00:00.000Z'),
    up: 800,
    total: 4000,
  })
  expect(result).toMatchObject({
    deliverables: [
      { id: 'd0', status: 'done', wave: 1, seconds: 2.5 },
      { id: 'd1', status: 'blocked', seconds: null },
    ],
    seconds: { up: 0.8, firstDeliverable: 3.5, total: 4 },
  })
  const text = describeDemo(result, { cwd: '/srv', typed: (command) => `npx soma ${command}` }, true)
  expect(text).toContain("Report    'my data/index.html'")
  expect(text).toContain('npx soma audit verify e.jsonl')
  expect(text).toContain('npx soma approve a1')
  expect(text).toContain('npx soma start')
})
