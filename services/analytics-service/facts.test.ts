import type { JournalEntry } from '@soma/contracts/journal'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { factsOf } from './facts.ts'

let position = 0
function entry(kind: string, payload: unknown, fields: Partial<JournalEntry> = {}): JournalEntry {
  position++
  const at = '2026-03-01T10:00:00.000Z'
  return {
    position: String(position),
    tenant: 'acme',
    stream: 's',
    seq: 1,
    kind,
    at,
    payload,
    digest: '',
    prevHash: '',
    hash: '',
    ...fields,
  }
}

const decided = (name: string, verdict: string, context: Record<string, unknown> = {}) => ({
  action: { name, capability: 'c', effect: 'read', resource: {} },
  context,
  decision: { verdict, score: 1, reasons: [], obligations: [], policy: 'p' },
})

test.each([
  ['run/prj-1', { run: 'prj-1', root: 'prj-1', level: 'root' }],
  ['run/prj-1/3', { run: 'prj-1', root: 'prj-1', level: 'root' }],
  ['run/prj-1.code-scan', { run: 'prj-1.code-scan', root: 'prj-1', level: 'deliverable', deliverable: 'code-scan' }],
  ['run/prj-1.code-scan.r2', { run: 'prj-1.code-scan.r2', root: 'prj-1', level: 'deliverable', deliverable: 'code-scan' }],
  ['run/prj-1.code-scan.r2.5', { run: 'prj-1.code-scan.r2.5', root: 'prj-1', level: 'inner', deliverable: 'code-scan' }],
  ['run/prj-1.7', { run: 'prj-1.7', root: 'prj-1', level: 'inner' }],
])('the stream %s tells which run it is, and what of', (stream, place) => {
  const [fact] = factsOf([entry('run.failed', { error: { code: 'tool_failed', message: 'm' } }, { stream })])
  expect(fact).toMatchObject({ ...place, status: 'failed', code: 'tool_failed' })
  expect(fact?.deliverable).toBe('deliverable' in place ? place.deliverable : undefined)
})

test('an action tells its run by its key, and one that was called over the API has none', () => {
  const completed = {
    operation: 'git.log',
    spent: { calls: 1, tokens: 30, costMicros: 5, seconds: 0.2 },
    milliseconds: 200,
    decision: { verdict: 'allow', score: 0.9, reasons: [], obligations: [], policy: 'p' },
  }
  const [inRun, byCall] = factsOf([
    entry('action.completed', completed, { stream: 'action/run/prj-1.scan.2/2#4' }),
    entry('action.completed', completed, { stream: 'action/call/k' }),
  ])
  const figures = { action: 'git.log', verdict: 'allow', score: 0.9, milliseconds: 200, calls: 1, tokens: 30, cost_micros: 5, seconds: 0.2 }
  expect(inRun).toMatchObject({ ...figures, run: 'prj-1.scan.2', root: 'prj-1', deliverable: 'scan', level: 'inner' })
  expect(byCall).toMatchObject(figures)
  expect(byCall?.run).toBeUndefined()
})

test('a run that goes on with an empty record is one run', () => {
  const started = (generation: number) => entry('run.started', { workflow: 'capsule', generation, input: {} }, { stream: 'run/run-1' })
  expect(factsOf([started(1), started(2)])).toHaveLength(1)
})

test('decisions about deliverables stay apart', () => {
  const deliverable = decided('deliverable.start', 'deny', { project: 'prj-1', deliverable: 'scan' })
  const facts = factsOf([entry('gate.decided', deliverable), entry('gate.decided', deliverable)])
  expect(facts).toHaveLength(2)
  expect(facts[0]).toMatchObject({ root: 'prj-1', deliverable: 'scan', verdict: 'deny', times: 1 })
})

test('however many decisions a batch holds, each is counted once, under its minute, action, verdict and tenant', () => {
  const decision = fc.record({
    tenant: fc.constantFrom('acme', 'globex'),
    minute: fc.integer({ min: 10, max: 12 }),
    second: fc.integer({ min: 10, max: 59 }),
    name: fc.constantFrom('http.projects.list', 'tool.git.log'),
    verdict: fc.constantFrom('allow', 'deny'),
  })
  fc.assert(
    fc.property(fc.array(decision), (decisions) => {
      const entries = decisions.map(({ tenant, minute, second, name, verdict }) =>
        entry('gate.decided', decided(name, verdict), { tenant, at: `2026-03-01T10:${minute}:${second}.000Z` }),
      )
      const facts = factsOf(entries)
      const groups = new Map<string, number>()
      for (const { tenant, minute, name, verdict } of decisions) {
        const group = [tenant, minute, name, verdict].join(' ')
        groups.set(group, (groups.get(group) ?? 0) + 1)
      }
      const found = facts.map(({ tenant, at, action, verdict, times }) => [[tenant, at.slice(14, 16), action, verdict].join(' '), times])
      expect(Object.fromEntries(found)).toEqual(Object.fromEntries(groups))
      expect(found).toHaveLength(groups.size)
      expect(new Set(facts.map((fact) => fact.position)).size).toBe(facts.length)
    }),
  )
})

test('whatever a payload holds, it gives a row that can be stored', () => {
  const kinds = ['run.started', 'run.completed', 'action.completed', 'gate.decided', 'approval.requested', 'kill.pulled']
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.jsonValue({ maxDepth: 2 }), fc.string({ unit: 'binary' }), (kind, payload, stream) => {
      const [fact] = factsOf([entry(kind, payload, { stream })])
      expect(fact).toMatchObject({ kind, times: 1 })
    }),
  )
  const [fact] = factsOf([
    entry('run.started', { workflow: 'project', generation: 1, input: { name: 'half \ud800 pair' } }, { stream: 'run/p' }),
  ])
  expect(fact?.name).toBe('half \ufffd pair')
})
