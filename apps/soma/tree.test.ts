import type { DeliverableState, Project } from '@soma/contracts/project'
import { describe, expect, test } from 'vitest'
import { createPaint, widthOf } from './text.ts'
import { changedLines, renderProject, type TreeView } from './tree.ts'

const START = Date.parse('2026-01-01T00:00:00.000Z')
const at = (seconds: number) => new Date(START + seconds * 1000).toISOString()

function deliverable(id: string, more: Partial<DeliverableState>): DeliverableState {
  return { id, title: id, persona: 'analyst.v1', status: 'planned', wave: 1, spent: {}, rounds: 0, ...more }
}

const project: Project = {
  id: 'prj-1',
  tenant: 'main',
  name: 'repository-health',
  brief: '',
  status: 'running',
  createdAt: at(0),
  inputs: {},
  budget: { limit: { calls: 400, costMicros: 1_000_000 }, spent: { calls: 12, costMicros: 20_000 } },
  deliverables: [
    deliverable('inventory', { title: 'Inventory by language', status: 'done', startedAt: at(1), endedAt: at(2.4) }),
    deliverable('secrets', {
      title: 'Secrets in the tree and in history',
      status: 'running',
      startedAt: at(1),
      steps: { done: 2, total: 5 },
      message: 'Reading the history of a large repository',
    }),
    deliverable('prune-branches', {
      title: 'Delete merged branches',
      status: 'blocked',
      message: 'Nothing that the project did not make itself may be destroyed, because destruction can not be undone.',
    }),
    deliverable('summary', { title: 'What to fix first', status: 'waiting', wave: 2 }),
    deliverable('broken', {
      title: 'Broken',
      status: 'failed',
      wave: 2,
      startedAt: at(1),
      endedAt: at(75),
      message: 'git did not answer.',
    }),
    deliverable('publish', {
      title: 'Propose HEALTH.md on the branch soma/repository-health',
      status: 'awaiting_approval',
      wave: 3,
      message: "Changing a repository that the project did not make needs a person's approval.",
    }),
  ],
}
const view: TreeView = {
  width: 80,
  hasUnicode: true,
  paint: createPaint(false),
  now: START + 12_000,
  frame: 0,
  approvals: [{ id: 'a1b2', summary: 'Propose HEALTH.md', deliverable: 'publish', action: 'deliverable.start' }],
  typed: (command) => `npx soma ${command}`,
}

describe('the tree', () => {
  test('shows waves, states, steps, times, and what to type', () => {
    expect(renderProject(project, view)).toMatchInlineSnapshot(`
      "repository-health  prj-1                                           running  12 s
      1 of 6 deliverables done · 12 of 400 calls · $0.02 of $1.00

      Wave 1
        ✔ Inventory by language                                                  1.4 s
        ◐ Secrets in the tree and in history            2/5 Reading the histo…    11 s
        ■ Delete merged branches                        blocked
          Nothing that the project did not make itself may be destroyed, because
          destruction can not be undone.
          → npx soma project resolve prj-1 prune-branches

      Wave 2
        ○ What to fix first
        ✖ Broken                                        failed                    1:14
          git did not answer.

      Wave 3
        ? Propose HEALTH.md on the branch soma/reposi…  your word
          Changing a repository that the project did not make needs a person's
          approval.
          → npx soma approve a1b2"
    `)
  })

  test('falls back to ASCII', () => {
    const text = renderProject(project, { ...view, hasUnicode: false, frame: 3 })
    expect(text).toMatchInlineSnapshot(`
      "repository-health  prj-1                                           running  12 s
      1 of 6 deliverables done, 12 of 400 calls, $0.02 of $1.00

      Wave 1
        + Inventory by language                                                  1.4 s
        \\ Secrets in the tree and in history            2/5 Reading the his...    11 s
        # Delete merged branches                        blocked
          Nothing that the project did not make itself may be destroyed, because
          destruction can not be undone.
          -> npx soma project resolve prj-1 prune-branches

      Wave 2
          What to fix first
        x Broken                                        failed                    1:14
          git did not answer.

      Wave 3
        ? Propose HEALTH.md on the branch soma/repo...  your word
          Changing a repository that the project did not make needs a person's
          approval.
          -> npx soma approve a1b2"
    `)
    expect(text).toMatch(/^[\x20-\x7e\n]*$/)
  })

  test('stays within its width whatever it shows', () => {
    const wide = {
      ...project,
      name: '名'.repeat(60),
      deliverables: [deliverable('x', { title: '表'.repeat(80), status: 'running', startedAt: at(0), message: '長'.repeat(90) })],
    }
    for (const width of [40, 60, 80])
      for (const line of renderProject(wide, { ...view, width }).split('\n')) expect(widthOf(line)).toBeLessThanOrEqual(width)
  })

  test('a repository can not steer the terminal', () => {
    const evil = {
      ...project,
      name: 'x\u001b[2Jy\u009b31m\nz',
      deliverables: [deliverable('x', { title: '\u001b]0;t\u0007\u202etxt', status: 'blocked', message: '\u001b[1;1H\rno' })],
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
    expect(renderProject(evil, view)).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
  })

  test('what runs but waits for an answer says what is asked', () => {
    const running = { ...project, deliverables: [deliverable('publish', { status: 'running', startedAt: at(1) })] }
    const text = renderProject(running, {
      ...view,
      approvals: [{ ...(view.approvals[0] as TreeView['approvals'][0]), action: 'tool.git.commit' }],
    })
    expect(text).toContain('tool.git.commit: Propose HEALTH.md')
    expect(text).toContain('npx soma approve a1b2')
  })

  test('the end says how it ended', () => {
    const failed: Project = {
      ...project,
      status: 'failed',
      endedAt: at(3700),
      error: { code: 'plan_invalid', message: 'No such capsule.' },
    }
    expect(renderProject(failed, view)).toContain('failed  1:01:40')
    expect(renderProject(failed, view)).toContain('plan_invalid: No such capsule.')
  })
})

test('without a terminal, each change is a line, once', () => {
  const first = changedLines(undefined, project, view)
  expect(first.join('\n')).toMatchInlineSnapshot(`
    "   12 s  repository-health  prj-1
       12 s  project running
       12 s  ✔ inventory  done  1.4 s
       12 s  ◐ secrets  running
       12 s  ■ prune-branches  blocked
               Nothing that the project did not make itself may be destroyed,
               because destruction can not be undone.
       12 s  ✖ broken  failed  1:14
               git did not answer.
       12 s  ? publish  awaiting approval
               Changing a repository that the project did not make needs a person's
               approval."
  `)
  expect(changedLines(project, structuredClone(project), view)).toEqual([])
  const done = {
    ...project,
    deliverables: project.deliverables.map((each) => (each.id === 'secrets' ? { ...each, status: 'done' as const, endedAt: at(9) } : each)),
  }
  expect(changedLines(project, done, view)).toEqual(['   12 s  ✔ secrets  done  8.0 s'])
})
