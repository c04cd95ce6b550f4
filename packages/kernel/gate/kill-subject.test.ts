import { expect, test } from 'vitest'
import { covers, type KillScope } from '../kill/kill-switch.ts'
import { killSubject } from './gate.ts'
import type { GateRequest } from './gate-request.ts'
import { person, toolCall } from './testing.ts'

const agent = person({ id: 'agent:developer.v1', kind: 'agent', onBehalfOf: 'user:ada' })
const question: GateRequest = {
  principal: agent,
  action: toolCall('git.commit'),
  context: { run: 'prj-1.docs.2', project: 'prj-1', capsule: 'inner@1.0.0', callers: ['outer@2.0.0'] },
}
const stops = (scope: KillScope, target: string, asked = question) => covers({ tenant: 'acme', scope, target }, killSubject(asked))

test.each<[KillScope, string]>([
  ['everything', '*'],
  ['tenant', '*'],
  ['project', 'prj-1'],
  ['run', 'prj-1.docs'],
  ['run', 'prj-1.docs.2'],
  ['capsule', 'inner'],
  ['capsule', 'outer@2.0.0'],
  ['persona', 'developer.v1'],
  ['tool', 'git'],
  ['tool', 'git.commit'],
])('a call of an agent’s run is stopped by a switch on %s %s', (scope, target) => {
  expect(stops(scope, target)).toBe(true)
})

test.each<[KillScope, string]>([
  ['project', 'prj-2'],
  ['run', 'prj-1.doc'],
  ['capsule', 'outer@1.0.0'],
  ['persona', 'developer'],
  ['tool', 'git.log'],
])('and not by one on %s %s', (scope, target) => {
  expect(stops(scope, target)).toBe(false)
})

test('what an agent asks by the API, knowing only its run, is stopped by persona and project as well', () => {
  const asked = { ...question, context: { run: 'prj-1.docs.2' } }
  expect([stops('persona', 'developer.v1', asked), stops('project', 'prj-1', asked), stops('capsule', 'inner', asked)]).toEqual([
    true,
    true,
    false,
  ])
})

test('a person is no persona, and lifting a switch is never stopped', () => {
  expect(stops('persona', 'user:ada', { ...question, principal: person() })).toBe(false)
  const lift = { ...question, action: { ...question.action, name: 'http.kill.lift', capability: 'kill.admin' } }
  expect(stops('everything', '*', lift)).toBe(false)
})
